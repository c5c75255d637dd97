"""A workflow file that is uploaded in the admin: the form, and the template that it becomes."""

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet

from templates_app.services.imports import ImportedWorkflow, import_workflow
from templates_app.workflow_files import MAX_FILE_BYTES, parse_workflow
from workflow_service.accounts.models import User, Workspace
from workflow_service.engine.errors import WorkflowError


class ImportForm(forms.Form):
    """What is uploaded, and where to. ``workspaces`` are those in which the user may create templates."""

    workspace = forms.ModelChoiceField(Workspace.objects.none(), empty_label=None)
    file = forms.FileField(help_text="A .json, .yaml or .wf file, such as Download gives.")
    states = forms.FileField(required=False, help_text="With a .wf file: what each block does.")
    name = forms.CharField(
        required=False, max_length=255, help_text="Left empty: the name in the file, or of it."
    )

    def __init__(self, *args: Any, workspaces: QuerySet[Workspace], **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["workspace"].queryset = workspaces  # type: ignore[attr-defined]

    def import_as(self, actor: User) -> ImportedWorkflow | None:
        """Import what a valid form holds; None where that is no workflow: the form has the errors then."""
        given = self.cleaned_data
        states = given["states"]
        try:
            body = parse_workflow(*_read(given["file"]), states=_read(states) if states else None)
            named = {"name": given["name"]} if given["name"] else {}
            return import_workflow(workspace=given["workspace"], actor=actor, body={**body, **named})
        except WorkflowError as error:
            self.add_error("file", [error.message, *(_words(one) for one in error.problems[1:])])
            return None


def _read(file: "UploadedFile[Any]") -> tuple[str, bytes]:
    return str(file.name), file.read(MAX_FILE_BYTES + 1)


def _words(problem: Any) -> str:
    place = f"{problem.pointer}: " if problem.pointer else ""
    return f"{place}{problem.message}"

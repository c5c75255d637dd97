"""Installing ready templates: one becomes a template of a workspace, and its files become files of the workspace.

What was installed bears its slug in a column that nobody else writes; by it a second installation finds the first.
Files that are there already are left as they are: they belong to the workspace.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from django.db import transaction

from templates_app.bodies import read_template
from templates_app.library.catalog import LibraryTemplate
from templates_app.models import Template
from templates_app.selectors import current_version
from templates_app.services.templates import create_template
from templates_app.services.validation import validate_definition
from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.agents.limits import tool_limits
from workflow_service.agents.workspace_files import workspace_dir, write_workspace_file
from workflow_service.engine.documents import dump_definition
from workflow_service.engine.findings import Finding
from workflow_service.engine.states import TemplateStatus


@dataclass(frozen=True, slots=True)
class Installation:
    """What installing did: ``created`` is false where the template was there, ``files`` are those that were not.

    ``changed``: the template that is there says something else than the library's does by now.
    """

    template: Template
    created: bool
    changed: bool
    files: tuple[str, ...]
    findings: tuple[Finding, ...]


def install_template(
    *, workspace: Workspace, actor: User, found: LibraryTemplate, copy: bool = False
) -> Installation:
    """Put a ready template into a workspace, or tell of the one that is there; with ``copy`` make another anyway.

    Raises ``Forbidden``.
    """
    require(actor, workspace, Action.TEMPLATE_CREATE)
    with transaction.atomic():
        # Two who install at once wait for each other: the second is told of the first's.
        Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)
        there = list(installed_templates(workspace, found.slug))
        if there and not copy:
            changed = current_version(there[0]).definition != dump_definition(found.definition)
            return Installation(there[0], False, changed, _put_files(workspace, found), ())
        draft = read_template(found.body)
        number = len(there) + 1
        draft = replace(
            draft,
            name=f"{draft.name} ({number})" if there else draft.name,
            change_note="Installed from the library",
        )
        findings = validate_definition(draft.definition, workspace)
        template = create_template(workspace=workspace, actor=actor, body=draft, findings=findings)
        template.library_slug = found.slug
        template.save(update_fields=["library_slug"])
        return Installation(template, True, False, _put_files(workspace, found), findings)


def installed_templates(workspace: Workspace, slug: str) -> list[Template]:
    """Return the templates of the workspace that were installed from one of the library, the first one first."""
    rows = Template.objects.filter(workspace=workspace, library_slug=slug)
    return list(rows.exclude(status=TemplateStatus.ARCHIVED).select_related("current_version").order_by("pk"))


def installed_by_slug(workspaces: Iterable[Workspace]) -> dict[str, Template]:
    """Return the first template that was installed from each of the library, by slug."""
    rows = Template.objects.filter(workspace__in=workspaces).exclude(status=TemplateStatus.ARCHIVED)
    found: dict[str, Template] = {}
    for template in rows.exclude(library_slug="").order_by("pk"):
        found.setdefault(template.library_slug, template)
    return found


def _put_files(workspace: Workspace, found: LibraryTemplate) -> tuple[str, ...]:
    """Copy the template's files to where runs of the workspace read theirs, and return the names that are new."""
    home = workspace_dir(tool_limits().files_dir, workspace.public_id)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    put: list[str] = []
    for path in found.files:
        name = found.workspace_name(path)
        with path.open("rb") as source, suppress(FileExistsError):
            write_workspace_file(home, name, source, overwrite=False)
            put.append(name)
    return tuple(put)

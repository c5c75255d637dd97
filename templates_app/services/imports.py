"""Templates from files: a file that is imported again is the next version of the same template."""

from dataclasses import dataclass

from templates_app.bodies import read_template
from templates_app.models import Template
from templates_app.selectors import get_template, list_templates
from templates_app.services.templates import add_version, create_template
from templates_app.services.validation import validate_definition
from workflow_service.accounts.models import User, Workspace
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.findings import Finding


@dataclass(frozen=True, slots=True)
class ImportedWorkflow:
    """The template that a body became, and what there is to say of its definition."""

    template: Template
    findings: tuple[Finding, ...]
    created: bool


def import_workflow(
    *, workspace: Workspace, actor: User, body: JsonObject, always_new: bool = False
) -> ImportedWorkflow:
    """Create a template, or a version of the actor's own template of that name if the definition is another.

    Raises as ``create_template`` and ``add_version`` do. With errors among the findings a new template is a draft.
    """
    draft = read_template(body)
    mine = list_templates(workspace).filter(name=draft.name, owner=actor)
    template = None if always_new else mine.first()
    findings = validate_definition(draft.definition, workspace, template, draft.files)
    if template is None:
        made = create_template(workspace=workspace, actor=actor, body=draft, findings=findings)
        return ImportedWorkflow(made, findings, created=True)
    add_version(template=template, actor=actor, body=draft, findings=findings)
    return ImportedWorkflow(get_template(workspace, template.public_id), findings, created=False)

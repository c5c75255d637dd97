"""Writes: workflows as document B makes and changes them. A workflow is a template; what is here is what B adds.

A language model is asked before any transaction begins: what it costs is booked whatever becomes of the workflow. All
the rest of a command is one transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from templates_app.bodies import TemplateDraft
from templates_app.errors import GranteeNotFound
from templates_app.models import Template
from templates_app.selectors import current_version, get_template
from templates_app.services.designing import Design, Method, design_workflow
from templates_app.services.sharing import transfer_template
from templates_app.services.templates import add_version, create_template
from templates_app.services.validation import validate_definition
from templates_app.sharing import require_on
from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.ai.generation.preferences import Wishes
from workflow_service.engine.definition import Definition
from workflow_service.engine.documents import load_definition
from workflow_service.engine.errors import Problem
from workflow_service.engine.findings import Finding
from workflow_service.engine.states import TemplateStatus
from workflow_service.workflows_api.advice import first_advice, keep_advice
from workflow_service.workflows_api.bodies import read_definition
from workflow_service.workflows_api.errors import WorkflowBodyInvalid

MAX_DESCRIPTION = 2_000
OPERATION = "nl_translation"


@dataclass(frozen=True, slots=True)
class SavedWorkflow:
    """The template as it stands now, what there is to say of its definition, and what its words were read as."""

    template: Template
    findings: tuple[Finding, ...]
    design: Design | None = None


Confirm = Callable[[SavedWorkflow], object]


def create_workflow(
    *, workspace: Workspace, actor: User, body: Mapping[str, Any], confirm: Confirm = lambda saved: None
) -> SavedWorkflow:
    """Make a workflow from a checked ``NewWorkflowBody``; active if it is valid and every state has work, else draft.

    ``confirm`` is called in the transaction that saves it. To be called outside of any other. Raises ``Forbidden``,
    ``WorkflowBodyInvalid``, ``InvalidDefinition``, ``GranteeNotFound`` and ``OwnerUnfit`` for the owner,
    ``TemplateNotPublishable`` where the body insists on active, and what ``design_workflow`` raises.
    """
    require(actor, workspace, Action.TEMPLATE_CREATE)
    owner = _owner(body, actor, workspace)
    definition = read_definition(body)
    if definition is not None and "name" not in body:
        raise WorkflowBodyInvalid(
            "/name: is required with 'dsl'", [Problem("REQUIRED", "is required with 'dsl'", "/name")]
        )
    design = None if definition is not None else _designed(body, workspace, actor)
    draft = _draft(body, definition, design)
    findings = validate_definition(draft.definition, workspace) if design is None else design.findings
    with transaction.atomic():
        template = create_template(
            workspace=workspace, actor=actor, body=draft, findings=findings, door=Template.Door.B
        )
        if owner is not None:
            template = transfer_template(template=template, actor=actor, owner=owner.public_id)
        keep_advice(template, first_advice(findings, design.improvements if design else ()))
        saved = SavedWorkflow(template, findings, design)
        confirm(saved)
    return saved


def change_workflow(
    *, template: Template, actor: User, body: Mapping[str, Any], if_match: Sequence[str] = ()
) -> SavedWorkflow:
    """Change what a checked ``ChangedWorkflowBody`` names; another graph makes a new version, runs keep theirs.

    New words without a graph are read anew. Raises as ``create_workflow`` does, and ``TemplateArchived``,
    ``StaleTemplate``, ``IllegalTransition``.
    """
    require_on(template, actor, Action.TEMPLATE_UPDATE)
    standing = load_definition(current_version(template).definition)
    definition = read_definition(body, standing)
    reads_words = definition is None and body.get("nl_description", "") not in ("", template.nl_description)
    design = _designed(body, template.workspace, actor) if reads_words else None
    draft = _changed(template, body, design.definition if design else definition or standing)
    findings = (
        validate_definition(draft.definition, template.workspace, template)
        if design is None
        else design.findings
    )
    before = current_version(template).pk
    with transaction.atomic():
        version = add_version(
            template=template, actor=actor, body=draft, findings=findings, if_match=if_match
        )
        saved = get_template(template.workspace, template.public_id)
        if version.pk != before:
            keep_advice(saved, first_advice(findings, design.improvements if design else ()))
    return SavedWorkflow(saved, findings, design)


def _owner(body: Mapping[str, Any], actor: User, workspace: Workspace) -> User | None:
    """Return whose workflow it is to be, if somebody else's: an administrator may say so."""
    owner_id = body.get("owner_id", actor.pk)
    if owner_id == actor.pk:
        return None
    require(actor, workspace, Action.TEMPLATE_TRANSFER)
    owner = User.objects.filter(pk=owner_id, is_active=True, workspaces=workspace).first()
    if owner is None:
        raise GranteeNotFound(f"there is no member {owner_id} of this workspace")
    return owner


def _designed(body: Mapping[str, Any], workspace: Workspace, actor: User) -> Design:
    if "nl_description" not in body:
        message = "is required, or 'dsl' with 'states', or 'parsed_definition'"
        raise WorkflowBodyInvalid(
            f"/nl_description {message}", [Problem("REQUIRED", message, "/nl_description")]
        )
    return design_workflow(
        body["nl_description"],
        workspace=workspace,
        user=actor,
        wishes=Wishes(),
        method=Method(body.get("method", Method.AUTO)),
        operation=OPERATION,
    )


def _draft(body: Mapping[str, Any], definition: Definition | None, design: Design | None) -> TemplateDraft:
    words = body.get("nl_description", "")
    flow = design.flow if design else None
    name = body.get("name") or (flow.name if flow else "") or "Generated workflow"
    described = (flow.description if flow else "") or " ".join(words.split())
    found = definition or (design.definition if design else None)
    assert found is not None  # noqa: S101 - one of the two is given
    return TemplateDraft(
        name=name,
        description=body.get("description", described[:MAX_DESCRIPTION]),
        category="",
        complexity="",
        estimated_duration_s=None,
        tags=tuple(dict.fromkeys(body.get("tags", ()))),
        status=TemplateStatus(body["status"]) if "status" in body else None,
        version=None,
        change_note="",
        given={},
        definition=found,
        nl_description=words,
    )


def _changed(template: Template, body: Mapping[str, Any], definition: Definition) -> TemplateDraft:
    return TemplateDraft(
        name=body.get("name", template.name),
        description=body.get("description", template.description),
        category=template.category,
        complexity=template.complexity,
        estimated_duration_s=template.estimated_duration_s,
        tags=tuple(dict.fromkeys(body.get("tags", template.tags))),
        status=TemplateStatus(body["status"]) if "status" in body else None,
        version=None,
        change_note=body.get("change_note", ""),
        given={},
        definition=definition,
        nl_description=body.get("nl_description", template.nl_description),
    )

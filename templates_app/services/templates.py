"""Writes: templates and their immutable versions.

A template that is active has a current version without errors; a draft may have any that can be read. A
version is never changed: what changes is which one is current.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from templates_app.bodies import SEMVER, TemplateDraft, read_template
from templates_app.errors import StaleTemplate, TemplateArchived, TemplateBodyInvalid, TemplateNotPublishable
from templates_app.models import Template, TemplateVersion
from templates_app.selectors import current_version, etag_of
from templates_app.services.validation import validate_definition
from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.documents import dump_definition, load_definition
from workflow_service.engine.errors import Problem
from workflow_service.engine.findings import Finding, errors_in
from workflow_service.engine.states import TemplateStatus

FIRST_VERSION = "1.0.0"
Findings = tuple[Finding, ...]


def create_template(
    *,
    workspace: Workspace,
    actor: User,
    body: JsonObject | TemplateDraft,
    findings: Findings | None = None,
    door: str = Template.Door.A,
) -> Template:
    """Create a template with its first version: active if it has no error and asks for nothing else, else draft.

    ``findings`` are those of the draft's definition where the caller has them already. Raises ``Forbidden``,
    ``TemplateBodyInvalid``, ``InvalidDefinition``, and ``TemplateNotPublishable`` where the body insists on
    active.
    """
    require(actor, workspace, Action.TEMPLATE_CREATE)
    draft = body if isinstance(body, TemplateDraft) else read_template(body)
    _refuse_given_fields(draft)
    status = _status_of(
        draft, validate_definition(draft.definition, workspace) if findings is None else findings
    )
    with transaction.atomic():
        template = Template(workspace=workspace, owner=actor, status=status, door=door)
        _write_header(template, draft)
        template.save()
        template.current_version = _write_version(template, draft, actor, 1, draft.version or FIRST_VERSION)
        template.save(update_fields=["current_version"])
    return template


def add_version(
    *,
    template: Template,
    actor: User,
    body: JsonObject | TemplateDraft,
    change_note: str = "",
    findings: Findings | None = None,
    if_match: Sequence[str] = (),
) -> TemplateVersion:
    """Replace what the template says; return its current version, a new one if the definition is another.

    ``if_match``: entity tags, one of which the template must still have. Raises as ``create_template`` does,
    and ``TemplateArchived`` and ``StaleTemplate``. An active template is not given a version with errors.
    """
    require(actor, template.workspace, Action.TEMPLATE_UPDATE, owner_id=template.owner_id)
    draft = body if isinstance(body, TemplateDraft) else read_template(body)
    found = (
        validate_definition(draft.definition, template.workspace, template) if findings is None else findings
    )
    with transaction.atomic():
        locked = _lock(template, if_match)
        _refuse_given_fields(draft, locked)
        locked.status = _status_of(draft, found, locked)
        current = current_version(locked)
        if _digest(dump_definition(draft.definition)) != current.definition_sha256:
            label = _next_label(current.label, draft.version)
            current = _write_version(locked, draft, actor, current.ordinal + 1, label, change_note)
            locked.current_version = current
        elif draft.version not in (None, current.label):
            raise TemplateBodyInvalid(
                "the definition is the same: there is no new version to name",
                [Problem("SAME_DEFINITION", f"is '{current.label}' still", "/version", "leave it out")],
            )
        _write_header(locked, draft)
        locked.save()
    return current


def publish_template(*, template: Template, actor: User) -> Template:
    """Make the template active; raises ``TemplateNotPublishable`` with every error its definition has."""
    require(actor, template.workspace, Action.TEMPLATE_UPDATE, owner_id=template.owner_id)
    with transaction.atomic():
        locked = _lock(template)
        definition = load_definition(current_version(locked).definition)
        _require_no_errors(validate_definition(definition, locked.workspace, locked))
        if locked.status != TemplateStatus.ACTIVE:
            locked.status = TemplateStatus.ACTIVE
            locked.save(update_fields=["status", "updated_at"])
    return locked


def archive_template(*, template: Template, actor: User, if_match: Sequence[str] = ()) -> Template:
    """Take the template out of use; its runs go on and stay readable. Archiving twice changes nothing."""
    require(actor, template.workspace, Action.TEMPLATE_ARCHIVE, owner_id=template.owner_id)
    with transaction.atomic():
        locked = _lock(template, if_match, archived_too=True)
        if locked.status != TemplateStatus.ARCHIVED:
            locked.status, locked.archived_at = TemplateStatus.ARCHIVED, timezone.now()
            locked.save(update_fields=["status", "archived_at", "updated_at"])
    return locked


def _lock(template: Template, if_match: Sequence[str] = (), *, archived_too: bool = False) -> Template:
    rows = Template.objects.select_for_update(of=("self",), no_key=True)
    locked = rows.select_related("current_version", "owner", "workspace").get(pk=template.pk)
    if if_match and "*" not in if_match and etag_of(locked) not in if_match:
        raise StaleTemplate(
            f"the template was changed meanwhile: its ETag is {etag_of(locked)} now; read it again"
        )
    if locked.status == TemplateStatus.ARCHIVED and not archived_too:
        raise TemplateArchived(f"the template '{locked.public_id}' is archived, and does not change any more")
    return locked


def _status_of(draft: TemplateDraft, findings: Findings, template: Template | None = None) -> str:
    """Return the status a template gets: what the body asks for, else active as soon as nothing is wrong."""
    stays_active = template is not None and template.status == TemplateStatus.ACTIVE
    if draft.status is TemplateStatus.DRAFT and not stays_active:
        return TemplateStatus.DRAFT
    if draft.status is TemplateStatus.ACTIVE or stays_active:
        _require_no_errors(findings)
    return TemplateStatus.DRAFT if errors_in(findings) else TemplateStatus.ACTIVE


def _require_no_errors(findings: Findings) -> None:
    errors = errors_in(findings)
    if errors:
        raise TemplateNotPublishable(
            f"the definition has {len(errors)} error(s): {errors[0].message}", errors
        )


def _refuse_given_fields(draft: TemplateDraft, template: Template | None = None) -> None:
    """Refuse fields only the service writes, unless they are as they were read from ``template``."""
    actual = given_fields(template) if template else {}
    if template and draft.given.get("updatedAt", actual["updatedAt"]) != actual["updatedAt"]:
        raise StaleTemplate(f"the template was changed at {actual['updatedAt']}: read it again")
    problems = [
        Problem("READ_ONLY", f"'{key}' is given by the service", f"/{key}", "leave it out")
        for key, value in draft.given.items()
        if actual.get(key) != value
    ]
    if problems:
        raise TemplateBodyInvalid(f"{problems[0].message}: leave it out", problems)


def given_fields(template: Template) -> dict[str, str]:
    """Return the fields of a template's document that only the service writes."""
    return {
        "templateId": template.public_id,
        "createdAt": format_time(template.created_at),
        "updatedAt": format_time(template.updated_at),
        "createdBy": template.owner.public_id,
    }


def format_time(moment: datetime) -> str:
    """Return a moment as the API writes it: UTC, microseconds, Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _write_header(template: Template, draft: TemplateDraft) -> None:
    template.name = draft.name
    template.description = draft.description
    template.category = draft.category
    template.complexity = draft.complexity
    template.estimated_duration_s = draft.estimated_duration_s
    template.tags = list(draft.tags)


def _write_version(
    template: Template, draft: TemplateDraft, actor: User, ordinal: int, label: str, note: str = ""
) -> TemplateVersion:
    document = dump_definition(draft.definition)
    return TemplateVersion.objects.create(
        template=template,
        ordinal=ordinal,
        label=label,
        definition=document,
        definition_sha256=_digest(document),
        change_note=note or draft.change_note,
        created_by=actor,
    )


def _digest(document: JsonObject) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _next_label(current: str, wanted: str | None) -> str:
    """Return the label after ``current``: the wanted one if it is higher, else the next minor version."""
    if wanted is None or wanted == current:
        major, minor, _ = _parts(current)
        return f"{major}.{minor + 1}.0"
    if _parts(wanted) <= _parts(current):
        message = f"'{wanted}' is not above the current version '{current}'"
        raise TemplateBodyInvalid(
            message, [Problem("VERSION_NOT_ABOVE", message, "/version", "leave it out")]
        )
    return wanted


def _parts(label: str) -> tuple[int, int, int]:
    match = SEMVER.fullmatch(label)
    return (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)

"""Writes: templates and their immutable versions.

A template that may be started has a current version without errors; a draft may have any that can be read. A
version is never changed: what changes is which one is current.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from templates_app.bodies import TemplateDraft, read_header, read_template
from templates_app.errors import StaleTemplate, TemplateBodyInvalid
from templates_app.models import Template, TemplateVersion
from templates_app.pinned_files import named_artifacts, pin_files
from templates_app.selectors import current_version
from templates_app.services.locks import lock_template, require_no_errors
from templates_app.services.recording import record_template
from templates_app.services.statuses import set_status
from templates_app.services.validation import validate_definition
from templates_app.sharing import require_on
from templates_app.version_labels import FIRST_VERSION, Bump, next_label
from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.artifacts.services.artifacts import pin_named
from workflow_service.engine.definition import Definition, JsonObject
from workflow_service.engine.documents import dump_definition, load_definition
from workflow_service.engine.errors import Problem
from workflow_service.engine.findings import Finding, errors_in
from workflow_service.engine.states import STARTABLE_TEMPLATE_STATUSES, TemplateStatus

Findings = tuple[Finding, ...]


def create_template(
    *,
    workspace: Workspace,
    actor: User,
    body: JsonObject | TemplateDraft,
    findings: Findings | None = None,
    door: str = Template.Door.A,
    nl_description: str = "",
) -> Template:
    """Create a template with its first version: active if it has no error and asks for nothing else, else draft.

    ``findings`` are those of the draft's definition where the caller has them already; ``nl_description`` is the
    text that it was generated from, where the body does not say it. Raises ``Forbidden``, ``TemplateBodyInvalid``,
    ``InvalidDefinition``, and ``TemplateNotPublishable`` where the body insists on active.
    """
    require(actor, workspace, Action.TEMPLATE_CREATE)
    draft = body if isinstance(body, TemplateDraft) else read_template(body)
    draft = replace(draft, nl_description=draft.nl_description or nl_description)
    return _create(workspace, actor, draft, findings, door, recorded_as="template.create")


def clone_template(
    *, template: Template, actor: User, name: str = "", version: TemplateVersion | None = None
) -> Template:
    """Make a template of the actor's own from a version of another (the current one where none is given).

    The clone of a draft is a draft. Raises ``Forbidden``, ``VersionNotFound``.
    """
    require_on(template, actor, Action.TEMPLATE_READ)
    require_on(template, actor, Action.TEMPLATE_CREATE)
    version = version or current_version(template)
    draft = TemplateDraft(
        name=name or f"Copy of {template.name}"[:255],
        description=template.description,
        category=template.category,
        complexity=template.complexity,
        estimated_duration_s=template.estimated_duration_s,
        tags=tuple(template.tags),
        status=TemplateStatus.DRAFT if template.status == TemplateStatus.DRAFT else None,
        version=None,
        change_note=f"Cloned from {template.public_id} {version.label}",
        given={},
        definition=load_definition(version.definition),
        nl_description=template.nl_description,
    )
    door = Template.Door(template.door)
    return _create(template.workspace, actor, draft, None, door, version.pinned, recorded_as="template.clone")


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
    and ``TemplateArchived``, ``StaleTemplate``, ``IllegalTransition``. A template that may be started is not given a
    version with errors.
    """
    require_on(template, actor, Action.TEMPLATE_UPDATE)
    draft = body if isinstance(body, TemplateDraft) else read_template(body)
    found = (
        validate_definition(draft.definition, template.workspace, template, draft.files)
        if findings is None
        else findings
    )
    pinned = pin_files(
        draft.definition, template.workspace, draft.files, before=current_version(template).pinned
    )
    with transaction.atomic():
        locked = lock_template(template, if_match)
        _refuse_given_fields(draft, locked)
        status = _status_of(draft, found, TemplateStatus(locked.status))
        if status != locked.status:
            set_status(locked, status)
        current = current_version(locked)
        same = _digest(dump_definition(draft.definition)) == current.definition_sha256
        if not same or pinned != current.pinned:
            label = next_label(current.label, draft.version, draft.bump)
            note = change_note or draft.change_note
            locked.current_version = _write_version(
                locked, draft.definition, actor, current.ordinal + 1, label, note, pinned
            )
        elif draft.version not in (None, current.label):
            raise TemplateBodyInvalid(
                "the definition is the same: there is no new version to name",
                [Problem("SAME_DEFINITION", f"is '{current.label}' still", "/version", "leave it out")],
            )
        _write_header(locked, draft)
        locked.save()
        _record(actor, "template.update", locked, note=change_note or draft.change_note)
    return current_version(locked)


def roll_back(
    *,
    template: Template,
    actor: User,
    version: TemplateVersion,
    change_note: str = "",
    bump: Bump | None = None,
    if_match: Sequence[str] = (),
) -> Template:
    """Give the template a new version that says what ``version`` said; name, tags and status stay as they are.

    Where the current version says so already nothing changes. Raises ``Forbidden``, ``TemplateArchived``,
    ``StaleTemplate``, and ``TemplateNotPublishable`` where a template that may be started would get errors.
    """
    require_on(template, actor, Action.TEMPLATE_UPDATE)
    definition = load_definition(version.definition)
    findings = validate_definition(definition, template.workspace, template)
    with transaction.atomic():
        locked = lock_template(template, if_match)
        current = current_version(locked)
        same = _digest(version.definition) == _digest(current.definition)
        if not same or version.pinned != current.pinned:
            if TemplateStatus(locked.status) in STARTABLE_TEMPLATE_STATUSES:
                require_no_errors(findings)
            label = next_label(current.label, bump=bump)
            note = change_note or f"Rolled back to {version.label}"
            locked.current_version = _write_version(
                locked, definition, actor, current.ordinal + 1, label, note, version.pinned
            )
            locked.save(update_fields=["current_version", "updated_at"])
            _record(actor, "template.roll_back", locked, to=version.label)
    return locked


def change_header(
    *, template: Template, actor: User, body: JsonObject, if_match: Sequence[str] = ()
) -> Template:
    """Change what the template says beside its definition; fields that ``body`` leaves out stay.

    Raises ``Forbidden``, ``TemplateBodyInvalid``, ``TemplateArchived``, ``StaleTemplate``.
    """
    require_on(template, actor, Action.TEMPLATE_UPDATE)
    wanted: dict[str, Any] = read_header(body)
    with transaction.atomic():
        locked = lock_template(template, if_match)
        changed = {name: value for name, value in wanted.items() if getattr(locked, name) != value}
        for name, value in changed.items():
            setattr(locked, name, value)
        if changed:
            locked.save(update_fields=[*changed, "updated_at"])
            _record(actor, "template.update", locked, fields=sorted(changed))
    return locked


def _create(
    workspace: Workspace,
    actor: User,
    draft: TemplateDraft,
    findings: Findings | None,
    door: str,
    pinned: JsonObject | None = None,
    *,
    recorded_as: str,
) -> Template:
    _refuse_given_fields(draft)
    _refuse_what_needs_a_version(draft)
    found = (
        validate_definition(draft.definition, workspace, files=draft.files) if findings is None else findings
    )
    pinned = pin_files(draft.definition, workspace, draft.files) if pinned is None else pinned
    status = _status_of(draft, found)
    with transaction.atomic():
        template = Template(workspace=workspace, owner=actor, created_by=actor, status=status, door=door)
        _write_header(template, draft)
        template.save()
        template.current_version = _write_version(
            template, draft.definition, actor, 1, draft.version or FIRST_VERSION, draft.change_note, pinned
        )
        template.save(update_fields=["current_version"])
        _record(actor, recorded_as, template, note=draft.change_note)
    return template


def _record(actor: User, action: str, template: Template, **detail: Any) -> None:
    digest = current_version(template).definition_sha256
    record_template(actor, action, template, status=template.status, sha256=digest, **detail)


def _status_of(
    draft: TemplateDraft, findings: Findings, current: TemplateStatus = TemplateStatus.DRAFT
) -> TemplateStatus:
    """Return the status a template gets: what the body asks for; a draft is active as soon as nothing is wrong."""
    wanted = draft.status
    if wanted is None:
        is_ready = current is TemplateStatus.DRAFT and not errors_in(findings)
        wanted = TemplateStatus.ACTIVE if is_ready else current
    if wanted is TemplateStatus.ARCHIVED:
        raise TemplateBodyInvalid(
            "a template is not archived by writing it",
            [Problem("NOT_WRITTEN", "is no status to write", "/status", "send DELETE to archive it")],
        )
    if wanted in STARTABLE_TEMPLATE_STATUSES:
        require_no_errors(findings)
    return wanted


def _refuse_what_needs_a_version(draft: TemplateDraft) -> None:
    """Refuse fields that say something about the version before the first."""
    problems = []
    if draft.status not in (None, TemplateStatus.DRAFT, TemplateStatus.ACTIVE):
        message = f"a new template is draft or active, not {draft.status}"
        problems.append(Problem("NEW_TEMPLATE", message, "/status", "leave it out"))
    if draft.bump is not None:
        message = f"a new template has no version to raise: it is {FIRST_VERSION}, or what 'version' says"
        problems.append(Problem("NEW_TEMPLATE", message, "/bump", "leave it out"))
    if problems:
        raise TemplateBodyInvalid(problems[0].message, problems)


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
        "createdBy": (template.created_by or template.owner).public_id,
        "ownerId": template.owner.public_id,
        "deprecationNote": template.deprecation_note,
    }


def format_time(moment: datetime) -> str:
    """Return a moment as the API writes it: UTC, microseconds, Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _write_header(template: Template, draft: TemplateDraft) -> None:
    template.name = draft.name
    template.description = draft.description
    template.nl_description = draft.nl_description
    template.category = draft.category
    template.complexity = draft.complexity
    template.estimated_duration_s = draft.estimated_duration_s
    template.tags = list(draft.tags)


def _write_version(
    template: Template,
    definition: Definition,
    actor: User,
    ordinal: int,
    label: str,
    note: str,
    pinned: JsonObject,
) -> TemplateVersion:
    document = dump_definition(definition)
    pin_named(template.workspace_id, named_artifacts(document), f"{template.public_id}@{label}")
    return TemplateVersion.objects.create(
        template=template,
        ordinal=ordinal,
        label=label,
        definition=document,
        definition_sha256=_digest(document),
        pinned=pinned,
        change_note=note,
        created_by=actor,
    )


def _digest(document: JsonObject) -> str:
    """Return what tells a definition from others, the same before it is stored and after."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False)
    stored = json.loads(text, parse_float=_as_stored)
    return hashlib.sha256(json.dumps(stored, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _as_stored(number: str) -> int | float:
    """Return a number as Postgres gives it back: without an exponent (1e20 is a whole number) or a sign of zero."""
    value = Decimal(number)
    return int(value) if "e" in number and value == value.to_integral_value() else float(number) + 0.0

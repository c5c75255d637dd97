"""Writes: suggestions accepted and rejected, once each.

Accepting makes the version in the transaction that notes it, under the template's lock: a suggestion that was accepted
has its version, and there is never a second one, whatever dies and however often it is asked.
"""

from django.db import transaction
from django.utils import timezone

from templates_app.bodies import TemplateDraft
from templates_app.models import Template
from templates_app.selectors import current_version
from templates_app.services.locks import lock_template
from templates_app.services.templates import add_version
from templates_app.sharing import require_on
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action
from workflow_service.accounts.recording import record_by
from workflow_service.advisor.errors import SuggestionDecided, SuggestionOutdated
from workflow_service.advisor.models import OptimizationRecord
from workflow_service.advisor.vocabulary import Status
from workflow_service.engine.documents import load_definition


def accept(record: OptimizationRecord, actor: User, change_note: str = "") -> OptimizationRecord:
    """Give the template the version that a suggestion makes, and return the suggestion.

    Raises ``Forbidden``, ``SuggestionDecided``, ``SuggestionOutdated`` where the template has changed since, and what
    ``add_version`` raises.
    """
    require_on(record.template, actor, Action.TEMPLATE_UPDATE)
    with transaction.atomic():
        template = lock_template(record.template)
        open_record = _locked(record)
        if template.current_version_id != open_record.base_version_id:
            raise SuggestionOutdated(
                f"the suggestion is about version {open_record.base_version.label}, and the template has "
                f"{current_version(template).label} now: analyse it again"
            )
        note = change_note or f"Suggested: {open_record.title}"
        version = add_version(template=template, actor=actor, body=_draft(template, open_record, note))
        open_record.status = Status.ACCEPTED
        open_record.accepted_version = version
        _decide(open_record, actor)
        # The others are about a version that is not current any more.
        others = OptimizationRecord.objects.filter(template=template, status=Status.SUGGESTED)
        others.exclude(pk=open_record.pk).update(status=Status.OUTDATED, updated_at=timezone.now())
        record_by(
            actor,
            "suggestion.accept",
            template.workspace_id,
            "template",
            template.public_id,
            suggestion=open_record.public_id,
            kind=open_record.kind,
            version=version.label,
        )
    return open_record


def reject(record: OptimizationRecord, actor: User, reason: str = "") -> OptimizationRecord:
    """Note that a suggestion is not wanted: an analysis does not make it again. Raises as ``accept`` does."""
    require_on(record.template, actor, Action.TEMPLATE_UPDATE)
    with transaction.atomic():
        template = lock_template(record.template, archived_too=True)
        open_record = _locked(record)
        open_record.status, open_record.reason = Status.REJECTED, reason[:500]
        _decide(open_record, actor)
        record_by(
            actor,
            "suggestion.reject",
            template.workspace_id,
            "template",
            template.public_id,
            suggestion=open_record.public_id,
            kind=open_record.kind,
            reason=reason[:500],
        )
    return open_record


def _locked(record: OptimizationRecord) -> OptimizationRecord:
    found = OptimizationRecord.objects.select_related("template", "base_version").get(pk=record.pk)
    if found.status != Status.SUGGESTED:
        raise SuggestionDecided(f"the suggestion is {found.status} already")
    return found


def _decide(record: OptimizationRecord, actor: User) -> None:
    record.decided_by, record.decided_at = actor, timezone.now()
    record.save()


def _draft(template: Template, record: OptimizationRecord, note: str) -> TemplateDraft:
    return TemplateDraft(
        name=template.name,
        description=template.description,
        category=template.category,
        complexity=template.complexity,
        estimated_duration_s=template.estimated_duration_s,
        tags=tuple(template.tags),
        status=None,
        version=None,
        change_note=note,
        given={},
        definition=load_definition(record.definition),
        nl_description=template.nl_description,
    )

"""Reading decisions."""

from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from executions_app.deciders import words_of
from executions_app.models import Execution
from workflow_service.accounts.models import Workspace
from workflow_service.decisions.errors import DecisionNotFound
from workflow_service.decisions.models import Decision


def list_decisions(
    workspace: Workspace,
    *,
    template_id: str | None = None,
    block_id: str | None = None,
    source: str | None = None,
    max_confidence: float | None = None,
    overridden: bool | None = None,
    search: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Decision]:
    """Return the workspace's decisions, newest first. ``template_id`` is a public id, ``search`` words of the question
    or of the reasoning."""
    rows = Decision.objects.filter(workspace=workspace)
    if template_id is not None:
        rows = rows.filter(execution__template__public_id=template_id)
    if block_id is not None:
        rows = rows.filter(block_id=block_id)
    if source is not None:
        rows = rows.filter(source=source)
    if max_confidence is not None:
        rows = rows.filter(confidence__lte=max_confidence)
    if overridden is not None:
        rows = rows.filter(override__isnull=not overridden)
    if search:
        rows = rows.filter(Q(question__icontains=search) | Q(reasoning__icontains=search))
    if since is not None:
        rows = rows.filter(created_at__gte=since)
    if until is not None:
        rows = rows.filter(created_at__lt=until)
    return rows.select_related("execution", "overridden_by").order_by("-id")


def decisions_of(execution: Execution) -> QuerySet[Decision]:
    """Return a run's decisions in the order in which they were made, those included that a restart took back."""
    return (
        Decision.objects.filter(execution=execution)
        .select_related("execution", "overridden_by")
        .order_by("id")
    )


def decision_entries(execution: Execution) -> list[dict[str, Any]]:
    """Return a run's decisions as the document of a run shows them (document B section 7.1)."""
    return [
        {
            "state": row.block_id,
            "decision": words_of({"decision": [*row.chosen], "options": row.options}),
            "reasoning": row.reasoning,
            "confidence": row.confidence,
            "source": row.source,
            "timestamp": row.created_at.isoformat(),
        }
        for row in Decision.objects.filter(execution=execution).order_by("id")
    ]


def get_decision(workspace: Workspace, decision_id: str) -> Decision:
    """Return a decision of the workspace; raises ``DecisionNotFound``."""
    found = Decision.objects.filter(workspace=workspace, public_id=decision_id)
    decision = found.select_related("execution", "overridden_by").first()
    if decision is None:
        raise DecisionNotFound(decision_id)
    return decision

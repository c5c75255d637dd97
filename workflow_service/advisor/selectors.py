"""Reads: suggestions."""

from django.db.models import QuerySet

from templates_app.models import Template
from workflow_service.advisor.errors import SuggestionNotFound
from workflow_service.advisor.models import OptimizationRecord

# What a suggestion is shown with.
SHOWN = ("template", "base_version", "accepted_version", "decided_by")


def get_suggestion(template: Template, public_id: str) -> OptimizationRecord:
    """Return a template's suggestion; raises ``SuggestionNotFound``."""
    rows = OptimizationRecord.objects.select_related(*SHOWN)
    record = rows.filter(template=template, public_id=public_id).first()
    if record is None:
        raise SuggestionNotFound(f"the template has no suggestion '{public_id}'")
    return record


def list_suggestions(template: Template, status: str | None = None) -> "QuerySet[OptimizationRecord]":
    """Return a template's suggestions, the most urgent of the newest first."""
    rows = OptimizationRecord.objects.filter(template=template).select_related(*SHOWN)
    rows = rows.filter(status=status) if status else rows
    return rows.order_by("-base_version__ordinal", "priority", "-estimated_improvement", "id")

"""Admin pages: what was unusual about runs, and how well the failure of a template's runs can be predicted."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from workflow_service.accounts.policies import Action
from workflow_service.admin_pages import PageAdmin
from workflow_service.anomalies.detection import Kind
from workflow_service.anomalies.features import NAMES
from workflow_service.anomalies.models import Anomaly, BlockHistory, FailurePredictor
from workflow_service.anomalies.pictures import render_strip
from workflow_service.anomalies.wording import expected_in_words, in_words
from workflow_service.templatetags.workflow_service import moment


@admin.register(Anomaly)
class AnomalyAdmin(PageAdmin):
    """What was unusual about runs; looked at, not edited."""

    when_empty = (
        "A run or a block that is far slower, dearer or worse than those before it is listed here. "
        "Once a template has enough ended runs to compare with, this happens by itself."
    )
    view_action = Action.EXECUTION_READ
    page_template = "admin/anomaly.html"
    list_display = ("what", "found", "run", "surprise", "found_at")
    list_display_links = ("what",)
    list_filter = ("kind", "detected_at")
    list_select_related = ("template", "version", "execution")
    list_per_page = 50
    search_fields = ("execution__public_id", "template__name", "block_id")
    search_help_text = "Execution id, template name or block"
    show_full_result_count = False
    ordering = ("-id",)

    @admin.display(description="Anomaly", ordering="kind")
    def what(self, anomaly: Anomaly) -> SafeString:
        where = anomaly.block_id or "the run"
        return format_html('{}<span class="wf-snippet">of {}</span>', anomaly.get_kind_display(), where)

    @admin.display(description="Found")
    def found(self, anomaly: Anomaly) -> SafeString:
        kind = Kind(anomaly.kind)
        return format_html(
            '<span class="wf-nowrap">{}</span><span class="wf-snippet">{} expected</span>',
            in_words(kind, anomaly.value),
            expected_in_words(kind, anomaly.low, anomaly.high),
        )

    @admin.display(description="Execution", ordering="execution")
    def run(self, anomaly: Anomaly) -> SafeString:
        return format_html(
            '<a href="{}">{} {}</a><span class="wf-id wf-snippet">{}</span>',
            reverse("admin:executions_app_execution_change", args=[anomaly.execution_id]),
            anomaly.template.name,
            anomaly.version.label,
            anomaly.execution.public_id,
        )

    @admin.display(description="Once in", ordering="-score")
    def surprise(self, anomaly: Anomaly) -> SafeString:
        return format_html('<span class="wf-nowrap">{} runs</span>', once_in(anomaly.score))

    @admin.display(description="Detected", ordering="detected_at")
    def found_at(self, anomaly: Anomaly) -> SafeString | str:
        return moment(anomaly.detected_at)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).select_related(*self.list_select_related)

    def page_context(self, request: HttpRequest, row: Anomaly) -> dict[str, Any]:
        kind = Kind(row.kind)
        return {
            "title": f"{row.get_kind_display()} of {row.block_id or 'the run'}",
            "anomaly": row,
            "value": in_words(kind, row.value),
            "expected": expected_in_words(kind, row.low, row.high),
            "once_in": once_in(row.score),
            **_strip(row, kind),
        }


@admin.register(FailurePredictor)
class FailurePredictorAdmin(PageAdmin):
    """How well the failure of a template's runs can be predicted; looked at, not edited."""

    when_empty = (
        "For a template with enough runs that ended well and badly, how likely a run is to fail is "
        "learned by itself, and how good those predictions are is shown here."
    )
    view_action = Action.EXECUTION_READ
    page_template = "admin/failure_predictor.html"
    list_display = ("template", "useful", "scores", "base", "fitted_at")
    list_display_links = ("template",)
    list_filter = ("useful",)
    list_select_related = ("template",)
    search_fields = ("template__name",)
    ordering = ("template__name",)

    @admin.display(description="Brier score, and the base rate's")
    def scores(self, row: FailurePredictor) -> str:
        return "" if row.brier is None else f"{row.brier:.4f}, {row.base_brier:.4f}"

    @admin.display(description="Runs that fail", ordering="base_rate")
    def base(self, row: FailurePredictor) -> str:
        return "" if row.base_rate is None else f"{100 * row.base_rate:.0f} %"

    def page_context(self, request: HttpRequest, row: FailurePredictor) -> dict[str, Any]:
        weights = row.model["weights"] if row.model else []
        told = sorted(zip(NAMES.values(), weights, strict=False), key=lambda one: -abs(one[1]))
        gain = 100 * (1 - row.brier / row.base_brier) if row.brier is not None and row.base_brier else None
        return {
            "title": "Predicting failure",
            "predictor": row,
            "weights": told,
            "gain": gain,
        }


def once_in(score: float) -> str:
    """Return in how many runs the like of it is to be expected once."""
    return "over a million" if score > 6 else f"{10**score:,.0f}"


def _strip(row: Anomaly, kind: Kind) -> dict[str, Any]:
    """Return the picture of the value among those of the last runs; nothing where there are no such values."""
    if kind not in (Kind.DURATION, Kind.OUTPUT_SIZE):
        return {}
    history = BlockHistory.objects.filter(version=row.version_id, block_id=row.block_id).first()
    values = (history.durations_ms if kind is Kind.DURATION else history.sizes_bytes) if history else []
    if not values:
        return {}
    title = f"{in_words(kind, row.value)}, beside the last {len(values)} runs"
    return {
        "picture": render_strip(values, row.low, row.high, row.value, title),
        "shown": len(values),
        "least": in_words(kind, min(*values, row.low, row.value)),
        "most": in_words(kind, max(*values, row.high, row.value)),
    }

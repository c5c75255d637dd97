"""Admin pages of decisions: the list, and one with what was asked, of which values, and who decided what.

Looking changes nothing. Who may override runs says there what was right: a POST with the CSRF token.
"""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action, allows
from workflow_service.admin_pages import PageAdmin, WordsFilter, sentence
from workflow_service.badges import BUSY, IDLE, OFF, OK, WAIT, badge
from workflow_service.decisions.models import Decision
from workflow_service.decisions.services.override import (
    MAX_REASON,
    override_decision,
    takes_several,
    wants_other_eyes,
)
from workflow_service.engine.errors import WorkflowError
from workflow_service.templatetags.workflow_service import moment

Source = Decision.Source
# Who thought about it stands out from what a rule said.
TONES: Mapping[str, str] = {
    Source.MODEL: BUSY,
    Source.CACHE: BUSY,
    Source.PERSON: OK,
    Source.HISTORY: IDLE,
    Source.EXPRESSION: IDLE,
    Source.DEFAULT: WAIT,
}


class OverrideForm(forms.Form):
    """Which way was right, and why."""

    choice = forms.ChoiceField(widget=forms.RadioSelect, label="What was right")
    reason = forms.CharField(
        required=False,
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Kept with your name, and shown with the decision.",
    )

    def __init__(self, decision: Decision, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        offered = [(option["key"], _words_of(option)) for option in decision.options]
        several = takes_several(decision)
        field = forms.MultipleChoiceField if several else forms.ChoiceField
        widget = forms.CheckboxSelectMultiple if several else forms.RadioSelect
        self.fields["choice"] = field(choices=offered, widget=widget, label="What was right")
        self.order_fields(["choice", "reason"])

    def keys(self) -> list[str]:
        """Return the keys that were chosen."""
        given = self.cleaned_data["choice"]
        return list(given) if isinstance(given, list) else [given]


class OverriddenFilter(admin.SimpleListFilter):
    """By whether a person has said what was right."""

    title = "overridden"
    parameter_name = "overridden"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes"), ("no", "No")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in ("yes", "no"):
            return queryset
        return queryset.filter(override__isnull=self.value() == "no")


@admin.register(Decision)
class DecisionAdmin(PageAdmin):
    when_empty = (
        "When a workflow asks a question in plain language at a branch, who answered it, and why, is "
        "kept here. No run has come to such a question yet."
    )
    view_action = Action.EXECUTION_READ
    page_template = "admin/decision.html"
    list_display = ("what", "way", "by", "sure", "when")
    list_display_links = ("what",)
    list_filter = (("source", WordsFilter), "created_at", OverriddenFilter)
    list_select_related = ("execution", "execution__template")
    list_per_page = 50
    search_fields = ("public_id", "execution__public_id", "block_id", "question", "reasoning")
    search_help_text = "Decision or execution id, block, words of the question or of the reasoning"
    show_full_result_count = False
    ordering = ("-id",)

    @admin.display(description="Question", ordering="block_id")
    def what(self, decision: Decision) -> SafeString:
        return format_html(
            '{}<span class="wf-snippet">{} · {}</span>',
            decision.question[:160] or decision.block_id,
            decision.block_id,
            decision.execution.template.name,
        )

    @admin.display(description="Way taken")
    def way(self, decision: Decision) -> SafeString:
        right = ""
        if decision.override is not None:
            right = f"right: {', '.join(decision.override)}"
        return format_html('{}<span class="wf-snippet">{}</span>', ", ".join(decision.chosen), right)

    @admin.display(description="Decided by", ordering="source")
    def by(self, decision: Decision) -> SafeString:
        return source_badge(decision)

    @admin.display(description="Sure", ordering="confidence")
    def sure(self, decision: Decision) -> str:
        return "—" if decision.confidence is None else f"{decision.confidence:g} %"

    @admin.display(description="When", ordering="created_at")
    def when(self, decision: Decision) -> SafeString | str:
        return moment(decision.created_at)

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)
        return rows.select_related("execution", "execution__template", "overridden_by", "workspace")

    def get_urls(self) -> list[URLPattern]:
        override = path(
            "<int:decision_id>/override/",
            self.admin_site.admin_view(self.override_view),
            name="decisions_decision_override",
        )
        return [override, *super().get_urls()]

    def page_context(
        self, request: HttpRequest, row: Decision, form: OverrideForm | None = None
    ) -> dict[str, Any]:
        right = row.right
        options = [
            {
                "text": option["text"] or "none of the others",
                "targets": ", ".join(option["targets"]) or "nowhere",
                "chosen": option["key"] in row.chosen,
                "right": option["key"] in right,
            }
            for option in row.options
        ]
        user = request.user
        bound = isinstance(user, User) and wants_other_eyes(row, user)
        if form is None and not bound and _may_override(request, row.workspace):
            form = OverrideForm(row)
        return {
            "title": f"Decision at {row.block_id}",
            "decision": row,
            "execution": row.execution,
            "source": source_badge(row),
            "options": options,
            "form": form,
        }

    def override_view(self, request: HttpRequest, decision_id: int) -> HttpResponse:
        """Say what was right; POST only."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        decision = self.get_object(request, str(decision_id))
        if not isinstance(decision, Decision) or not self.has_view_permission(request, decision):
            raise Http404
        if not _may_override(request, decision.workspace):
            raise PermissionDenied
        form = OverrideForm(decision, request.POST)
        if not form.is_valid():
            return self.render_page(request, decision, self.page_context(request, decision, form), status=422)
        user = request.user
        assert isinstance(user, User)  # noqa: S101 - the admin lets nobody else in
        try:
            found = override_decision(
                decision=decision, actor=user, choice=form.keys(), reason=form.cleaned_data["reason"]
            )
        except WorkflowError as error:
            messages.error(request, sentence(error.message))
        else:
            turned = (
                "The run takes that way." if found.rerouted else "The run has gone on and stays as it is."
            )
            messages.success(request, f"Noted: like cases go that way from now on. {turned}")
        return HttpResponseRedirect(reverse("admin:decisions_decision_change", args=[decision.pk]))


def source_badge(decision: Decision) -> SafeString:
    """Return who decided, as a badge."""
    if decision.override is not None and decision.override != decision.chosen:
        words = f"{decision.get_source_display()}, overridden"
        return badge("overridden", tone=OFF, words=words[0].upper() + words[1:])
    words = decision.get_source_display().capitalize()
    return badge(decision.source, tone=TONES[decision.source], words=words)


def _may_override(request: HttpRequest, workspace: Workspace) -> bool:
    user = request.user
    return isinstance(user, User) and allows(user, workspace, Action.EXECUTION_OVERRIDE)


def _words_of(option: Mapping[str, Any]) -> str:
    leads = ", ".join(option["targets"]) or "nowhere"
    return f"{leads}: {option['text'] or 'none of the others'}"

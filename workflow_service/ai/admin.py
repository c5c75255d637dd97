"""Admin pages of what language models cost: every call, and the budgets, which take effect at once."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Max
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from workflow_service.accounts.admin_policies import PolicyAdmin
from workflow_service.accounts.admin_recording import RecordedAdmin
from workflow_service.accounts.policies import Action
from workflow_service.admin_pages import WordsFilter
from workflow_service.ai.budgets import period_start
from workflow_service.ai.models import Budget, LlmUsage
from workflow_service.ai.services.budgets import draft_problem
from workflow_service.badges import badge


class TitledAdmin(PolicyAdmin):
    """A list under its own name, in the service's style."""

    class Media:
        css = {"all": ("workflow_service/admin.css",)}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        title = str(self.opts.verbose_name_plural).capitalize()
        return super().changelist_view(request, {"title": title, **(extra_context or {})})  # type: ignore[return-value]


@admin.register(LlmUsage)
class LlmUsageAdmin(TitledAdmin):
    """Looked at, not edited."""

    when_empty = (
        "Each question to a language model is listed here with its tokens and cost. None has been asked yet."
    )
    view_action = Action.USAGE_READ
    list_display = ("what", "where", "model", "state_badge", "tokens", "cost", "latency")
    list_filter = (("state", WordsFilter), "cached", "operation", "model", "provider")
    list_select_related = ("workspace", "user")
    list_per_page = 50
    search_fields = ("execution_id", "template_id", "block_id", "prompt")
    search_help_text = "Execution, template or block id, or prompt"
    show_full_result_count = False
    fields = (
        ("workspace", "user"),
        ("template_id", "execution_id", "block_id"),
        ("operation", "prompt"),
        ("provider", "model"),
        ("state_badge", "outcome"),
        ("prompt_tokens", "completion_tokens"),
        ("estimated_usd", "reserved_usd", "cost_usd"),
        ("created_at", "latency", "lease_expires_at"),
    )
    readonly_fields = ("state_badge", "latency")

    @admin.display(description="Call", ordering="created_at")
    def what(self, usage: LlmUsage) -> SafeString:
        when = f"{usage.created_at:%Y-%m-%d %H:%M:%S}"
        return format_html('{}<br><span class="wf-quiet">{}</span>', usage.operation, when)

    @admin.display(description="Where")
    def where(self, usage: LlmUsage) -> SafeString:
        run = usage.execution_id
        return format_html('{}<br><span class="wf-id wf-quiet">{}</span>', usage.block_id or "—", run)

    @admin.display(description="State", ordering="state")
    def state_badge(self, usage: LlmUsage) -> SafeString:
        return badge("CACHED" if usage.cached else usage.state)

    @admin.display(description="Tokens")
    def tokens(self, usage: LlmUsage) -> str:
        return f"{usage.prompt_tokens:,} + {usage.completion_tokens:,}"

    @admin.display(description="Cost (USD)", ordering="cost_usd")
    def cost(self, usage: LlmUsage) -> str:
        return f"{usage.cost_usd:.6f}"

    @admin.display(description="Latency", ordering="latency_ms")
    def latency(self, usage: LlmUsage) -> str:
        return f"{usage.latency_ms:,} ms"


class BudgetForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Budget
        fields = ("workspace", "scope", "subject", "period", "limit_usd", "policy")

    def clean(self) -> dict[str, Any]:
        """Refuse what the API refuses."""
        data: dict[str, Any] = super().clean() or {}
        values = [data.get(name, getattr(self.instance, name)) for name in ("scope", "subject", "period")]
        wrong = draft_problem(*(str(value or "") for value in values))
        if wrong:
            raise forms.ValidationError(wrong[0].upper() + wrong[1:])
        return data


@admin.register(Budget)
class BudgetAdmin(RecordedAdmin, TitledAdmin):
    """Of a budget that stands limit and policy may change: what was spent belongs to the rest."""

    when_empty = (
        "A budget bounds what language models may cost in a workspace or for a template. Without one "
        "nothing is bounded."
    )
    recorded_as = "budget"
    form = BudgetForm
    view_action = Action.USAGE_READ
    add_action = change_action = delete_action = Action.BUDGET_MANAGE
    list_display = ("whose", "limit", "spent", "reserved", "policy", "workspace")
    list_filter = ("scope", "period", "policy")
    list_select_related = ("workspace",)
    search_fields = ("subject",)

    def get_readonly_fields(self, request: HttpRequest, obj: Budget | None = None) -> tuple[str, ...]:
        return () if obj is None else ("workspace", "scope", "subject", "period")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the workspaces whose budgets the user sets, and no other."""
        if db_field.name == "workspace":
            kwargs["queryset"] = self.workspaces(request, Action.BUDGET_MANAGE)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description="Whose", ordering="scope")
    def whose(self, budget: Budget) -> str:
        return f"{budget.get_scope_display()}{': ' + budget.subject if budget.subject else ''}".capitalize()

    @admin.display(description="Limit", ordering="limit_usd")
    def limit(self, budget: Budget) -> str:
        return f"{budget.limit_usd:,.4f} USD {budget.get_period_display()}"

    @admin.display(description="Spent")
    def spent(self, budget: Budget) -> str:
        return self._sum(budget, "spent_usd")

    @admin.display(description="Reserved")
    def reserved(self, budget: Budget) -> str:
        return self._sum(budget, "reserved_usd")

    @staticmethod
    def _sum(budget: Budget, field: str) -> str:
        """Return what the present period's account has, or of several the dearest one's."""
        start = period_start(budget.period, timezone.now().date())
        found = budget.accounts.filter(period_start=start).aggregate(most=Max(field), number=Count("id"))
        if not found["number"]:
            return "—"
        return f"{found['most']:,.4f}" + (f" (highest of {found['number']})" if found["number"] > 1 else "")

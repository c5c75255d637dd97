"""Admin pages of agents: who there is, how they are, how full, and how well their work goes; registered and changed.

Agents that belong to all workspaces are shown to everybody who may see agents, and changed by nobody.
"""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from workflow_service.accounts.admin_policies import PolicyAdmin
from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action
from workflow_service.admin_pages import WordsFilter
from workflow_service.agents.breaker import BreakerState, breaker_key, read_states
from workflow_service.agents.built_in import BUILT_IN
from workflow_service.agents.catalog import describe_agent, list_agents
from workflow_service.agents.concurrency import concurrency_limits
from workflow_service.agents.health import check_agent
from workflow_service.agents.models import Agent, AgentStatistic
from workflow_service.agents.registry import delete_agent, misfits, register_agent, update_agent
from workflow_service.badges import BAD, WAIT, badge

HISTORY_SHOWN = 20
FIELDS = (
    "public_id", "name", "description", "tool_types", "endpoint", "configuration", "capabilities", "tags", "enabled",
    "heartbeat_ttl_s", "rate_per_min", "rate_burst",
)  # fmt: skip


class AgentForm(forms.ModelForm):  # type: ignore[type-arg]
    """What people say of an agent; how it is they do not say."""

    tool_types = forms.MultipleChoiceField(
        choices=[(tool.value, tool.value.replace("_", " ")) for tool in BUILT_IN],
        widget=forms.CheckboxSelectMultiple,
        help_text="What it works with. The first that was chosen is used where a block names none.",
    )
    max_concurrency = forms.IntegerField(
        min_value=1,
        max_value=10_000,
        required=False,
        help_text="Blocks that may be at work on it at once; others wait. Empty: any number.",
    )

    class Meta:
        model = Agent
        fields = FIELDS
        help_texts = {
            "public_id": "What workflows call it, as agentId.",
            "endpoint": "Where it is asked for work: /execute and /health below it. Empty: it works in our workers.",
            "configuration": "Defaults for what blocks configure, a JSON object.",
            "capabilities": 'What it can do: [{"name": "invoice.read", "inputSchema": {…}}]',
            "tags": "Separated by commas.",
            "heartbeat_ttl_s": "Seconds without a heartbeat after which it counts as unhealthy. Empty: its health is "
            "asked for.",
            "rate_per_min": "Calls in a minute; others wait. Empty: any number.",
            "rate_burst": "Calls that may come at once.",
        }
        labels = {
            "heartbeat_ttl_s": "Heartbeat within (s)",
            "rate_per_min": "Calls a minute",
            "rate_burst": "Calls at once",
        }

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.instance.workspace_id is not None:
            limits = concurrency_limits(self.instance.workspace_id)
            self.fields["max_concurrency"].initial = limits.get(self.instance.public_id)

    def clean_tool_types(self) -> list[str]:
        """Return the tools in the order in which they were chosen: those it had before, then new ones."""
        chosen: list[str] = self.cleaned_data["tool_types"]
        before = [name for name in self.instance.tool_types or () if name in chosen]
        return before + [name for name in chosen if name not in before]

    def clean_configuration(self) -> dict[str, Any]:
        """Refuse what is no JSON object."""
        value = self.cleaned_data["configuration"] or {}
        if not isinstance(value, dict):
            raise forms.ValidationError("Write a JSON object.")
        return value

    def clean_capabilities(self) -> list[Any]:
        """Refuse what is no list of capabilities with names."""
        value = self.cleaned_data["capabilities"] or []
        named = isinstance(value, list) and all(
            isinstance(one, dict) and isinstance(one.get("name"), str) and one["name"] for one in value
        )
        if not named:
            raise forms.ValidationError('Write a list of objects that have a "name".')
        return list(value)

    def clean(self) -> dict[str, Any]:
        """Refuse what does not fit together."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        for name, message in misfits(data):
            if name in self.fields:
                self.add_error(name, f"{message[:1].upper()}{message[1:]}.")
        return data


@admin.register(Agent)
class AgentAdmin(PolicyAdmin):
    when_empty = (
        "Agents do the work of blocks. The built-in ones appear by themselves, and others when "
        "somebody registers them."
    )
    view_action = Action.AGENT_READ
    add_action = Action.AGENT_REGISTER
    change_action = delete_action = Action.AGENT_MANAGE
    form = AgentForm
    change_form_template = "admin/agent.html"
    list_display = ("agent", "health", "load", "success", "took", "tools", "of")
    list_display_links = ("agent",)
    list_filter = (("status", WordsFilter), "enabled", ("runtime", WordsFilter))
    list_select_related = ("workspace",)
    list_per_page = 50
    search_fields = ("public_id", "name", "description", "tags")
    search_help_text = "Agent id, name, description or tag"
    show_full_result_count = False
    ordering = ("public_id",)
    # Each deletion is to be one of the registry's.
    actions = None

    class Media:
        css = {"all": ("workflow_service/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """Show the agents of the user's workspaces, and those of all."""
        visible = Q(workspace__in=self.workspaces(request, self.view_action)) | Q(workspace__isnull=True)
        rows: QuerySet[Any] = self.model._default_manager.filter(visible)
        return rows.order_by("public_id", "workspace")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list under its own name."""
        return super().changelist_view(request, {"title": "Agents", **(extra_context or {})})

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Read what is counted of the agents on a page at once, and not row by row."""
        for workspace in self.workspaces(request, self.view_action)[:1]:
            list_agents(workspace.pk)  # the built-in ones are made on demand
        page = super().get_changelist_instance(request)
        page.result_list = list(page.result_list)
        _add_figures(page.result_list, self.workspaces(request, self.view_action))
        return page

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let everybody who may see agents see those of all workspaces."""
        return super().has_view_permission(request, None if _is_of_all(obj) else obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*(() if obj else ("workspace",)), *FIELDS, "max_concurrency")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("public_id",) if obj else ()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        options["fields"] = [name for name in self.get_fields(request, obj) if name != "max_concurrency"]
        return super().get_form(request, obj, change, **options)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """Offer the workspaces in which the user may register agents; one of them is meant."""
        if db_field.name == "workspace":
            options |= {"queryset": self.workspaces(request, Action.AGENT_REGISTER), "required": True}
        return super().formfield_for_foreignkey(db_field, request, **options)

    def save_model(self, request: HttpRequest, obj: Agent, form: Any, change: bool) -> None:
        fields = {
            name: form.cleaned_data[name]
            for name in (*FIELDS, "max_concurrency")
            if name in form.cleaned_data
        }
        assert isinstance(request.user, User)  # noqa: S101 - the admin lets nobody else in
        if change:
            update_agent(obj, fields, actor=request.user)
        else:
            saved = register_agent(workspace=obj.workspace, actor=request.user, fields=fields)  # type: ignore[arg-type]
            obj.pk = saved.pk

    def delete_model(self, request: HttpRequest, obj: Agent) -> None:
        assert isinstance(request.user, User)  # noqa: S101 - the admin lets nobody else in
        delete_agent(obj, actor=request.user)

    def get_urls(self) -> list[URLPattern]:
        check = path(
            "<int:agent_pk>/check/", self.admin_site.admin_view(self.check_view), name="agents_agent_check"
        )
        return [check, *super().get_urls()]

    def check_view(self, request: HttpRequest, agent_pk: int) -> HttpResponse:
        """Check an agent's health now."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        agent = self.get_queryset(request).filter(pk=agent_pk).first()
        if agent is None:
            raise Http404
        if not self._may(request, Action.AGENT_REGISTER, None if _is_of_all(agent) else agent):
            raise PermissionDenied
        found = check_agent(agent, ask=True)
        level = messages.SUCCESS if found.status == "HEALTHY" else messages.WARNING
        said = f": {found.status_message}" if found.status_message else ""
        messages.add_message(request, level, f"{found.public_id} is {found.status.lower()}{said}.")
        return HttpResponseRedirect(reverse("admin:agents_agent_change", args=[agent_pk]))

    def render_change_form(
        self, request: HttpRequest, context: Any, add: bool = False, change: bool = False, form_url: str = "",
        obj: Any = None,
    ) -> Any:  # fmt: skip
        """Show how an agent is above what can be changed of it."""
        if obj is not None:
            _add_figures([obj], self.workspaces(request, self.view_action))
            context |= {
                "agent": obj,
                "health": self.health(obj),
                "load": self.load(obj),
                "success": self.success(obj),
                "took": self.took(obj),
                "capabilities": describe_agent(obj).capabilities,
                "history": obj.status_changes.all()[:HISTORY_SHOWN],
                "may_check": self._may(request, Action.AGENT_REGISTER, None if _is_of_all(obj) else obj),
            }
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.display(description="Agent", ordering="public_id")
    def agent(self, agent: Agent) -> SafeString:
        return format_html('{}<br><span class="wf-id wf-quiet">{}</span>', agent.name, agent.public_id)

    @admin.display(description="Health", ordering="status")
    def health(self, agent: Any) -> SafeString:
        if not agent.enabled:
            return badge("DISABLED")
        shown = badge(agent.status)
        if agent.breaker is BreakerState.OPEN:
            return format_html("{} {}", shown, badge("OPEN", tone=BAD, words="Breaker open"))
        if agent.breaker is BreakerState.HALF_OPEN:
            return format_html("{} {}", shown, badge("HALF_OPEN", tone=WAIT, words="On trial"))
        if agent.status_message:
            return format_html('{}<span class="wf-snippet">{}</span>', shown, agent.status_message)
        return shown

    @admin.display(description="Load")
    def load(self, agent: Any) -> SafeString | str:
        figures: AgentStatistic | None = agent.figures
        if figures is None or not figures.capacity:
            return "—"
        return format_html(
            '<progress class="wf-progress" max="{}" value="{}" aria-label="{} of {} at work"></progress> '
            '<span class="wf-quiet wf-nowrap">{} / {}</span>',
            figures.capacity, figures.running, figures.running, figures.capacity, figures.running, figures.capacity,
        )  # fmt: skip

    @admin.display(description="Success")
    def success(self, agent: Any) -> SafeString | str:
        figures: AgentStatistic | None = agent.figures
        if figures is None or figures.success_rate is None:
            return "—"
        tone = ' class="wf-bad"' if figures.success_rate < 90 else ""
        return format_html(
            f'<span{tone}>{{}} %</span> <span class="wf-quiet wf-nowrap">of {{}}</span>',
            f"{figures.success_rate:g}",
            figures.tries,
        )

    @admin.display(description="On average")
    def took(self, agent: Any) -> str:
        figures: AgentStatistic | None = agent.figures
        average_ms = figures.average_ms if figures else None
        if average_ms is None:
            return "—"
        return f"{average_ms:.0f} ms" if average_ms < 1_000 else f"{average_ms / 1_000:.1f} s"

    @admin.display(description="Works with", ordering="runtime")
    def tools(self, agent: Agent) -> SafeString:
        names = ", ".join(name.replace("_", " ") for name in agent.tool_types)
        where = agent.get_runtime_display().lower()
        return format_html('{}<br><span class="wf-quiet wf-nowrap">{}</span>', names, where)

    @admin.display(description="Workspace", ordering="workspace")
    def of(self, agent: Agent) -> str:
        return str(agent.workspace) if agent.workspace else "all"


def _is_of_all(agent: Any) -> bool:
    return agent is not None and agent.workspace_id is None


def _add_figures(agents: Iterable[Any], workspaces: "QuerySet[Workspace]") -> None:
    """Give each agent what was counted of it, in its workspace or in all that may be seen, and its breaker's state."""
    rows = list(agents)
    ids = [row.public_id for row in rows]
    counted = list(AgentStatistic.objects.filter(workspace__in=workspaces, agent_id__in=ids))
    guarded = [row for row in rows if row.workspace_id is not None]
    states = read_states(breaker_key(row.workspace_id, row.public_id) for row in guarded)
    breakers = {row.pk: state for row, state in zip(guarded, states, strict=True)}
    for row in rows:
        own = [
            one
            for one in counted
            if one.agent_id == row.public_id and row.workspace_id in (None, one.workspace_id)
        ]
        row.figures = _summed(own)
        row.breaker = breakers.get(row.pk, BreakerState.CLOSED)


def _summed(counted: list[AgentStatistic]) -> AgentStatistic | None:
    if len(counted) < 2:
        return counted[0] if counted else None
    timed = [(one.average_ms, one.succeeded) for one in counted if one.average_ms is not None]
    weight = sum(number for _, number in timed)
    return AgentStatistic(
        agent_id=counted[0].agent_id,
        tries=sum(one.tries for one in counted),
        succeeded=sum(one.succeeded for one in counted),
        average_ms=sum(ms * number for ms, number in timed) / weight if weight else None,
        running=sum(one.running for one in counted),
        capacity=max(one.capacity for one in counted),
    )

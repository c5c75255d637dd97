"""Admin pages of executions: the list, and one run with its graph, its timeline and its blocks, as it goes
on. Looking changes nothing; a command is a POST with the CSRF token.
"""

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from executions_app import limit_admin, recovery_admin  # noqa: F401 - they register their pages
from executions_app.admin_block_pages import BlockPages
from executions_app.admin_commands import (
    COMMANDS,
    MAX_REASON,
    command_named,
    give_command,
    may_control,
    offered_commands,
    require_control,
)
from executions_app.admin_logs import LEVELS, log_page, read_log_filter
from executions_app.admin_pages import user_of
from executions_app.admin_restart_page import RestartPage
from executions_app.admin_start_page import StartPage
from executions_app.gantt import gantt_of
from executions_app.insights import page_parts
from executions_app.models import (
    Execution,
    ExecutionEvent,
    RecoveryAction,
)
from executions_app.selectors import progress_of
from executions_app.timeline import Timeline, earlier_spans, given_input, timeline_of
from templates_app.graph import graph_of
from templates_app.graph_layout import GraphTooLarge
from templates_app.graph_svg import render_graph
from templates_app.models import Template
from templates_app.plans import compiled_version
from templates_app.sharing import may
from workflow_service.accounts.admin_policies import PolicyAdmin
from workflow_service.accounts.policies import Action
from workflow_service.admin_pages import WordsFilter, sentence
from workflow_service.artifacts.selectors import artifacts_of_execution
from workflow_service.badges import badge
from workflow_service.engine.definition import START
from workflow_service.engine.errors import WorkflowError
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, BlockStatus
from workflow_service.templatetags.workflow_service import duration, moment

EVENTS_SHOWN = 100
FILES_SHOWN = 100
TEMPLATES_OFFERED = 100


class TemplateFilter(admin.SimpleListFilter):
    """Runs of one template; offers the templates that the user may see."""

    title = "template"
    parameter_name = "template"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        workspaces = model_admin.workspaces(request, Action.EXECUTION_READ)
        templates = Template.objects.filter(workspace__in=workspaces).order_by("name", "pk")
        return [(str(pk), name) for pk, name in templates.values_list("pk", "name")[:TEMPLATES_OFFERED]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(template=int(value)) if value and value.isdigit() else queryset


@admin.register(Execution)
class ExecutionAdmin(StartPage, RestartPage, BlockPages):
    when_empty = (
        "Each run of a template is listed here from its start on. Open a template and press Start, or "
        "start one over the API."
    )
    view_action = Action.EXECUTION_READ
    add_action = Action.EXECUTION_START
    page_template = "admin/execution.html"
    list_display = ("run", "state", "progress", "began", "took")
    list_display_links = ("run",)
    list_filter = (("status", WordsFilter), TemplateFilter, ("priority", WordsFilter), "started_at")
    list_select_related = ("template", "version", "created_by", "workspace", "parent")
    list_per_page = 50
    search_fields = ("public_id", "template__name")
    search_help_text = "Execution id or template name"
    show_full_result_count = False
    ordering = ("-id",)

    @admin.display(description="Execution", ordering="id")
    def run(self, execution: Execution) -> SafeString:
        return format_html(
            '{} {}<span class="wf-id wf-snippet">{}</span>',
            execution.template.name,
            execution.version.label,
            execution.public_id,
        )

    @admin.display(description="Status", ordering="status")
    def state(self, execution: Execution) -> SafeString:
        return badge(execution.status)

    @admin.display(description="Progress")
    def progress(self, execution: Execution) -> SafeString:
        done = execution.completed_blocks + execution.skipped_blocks
        return format_html(
            '<progress class="wf-progress" max="{}" value="{}" aria-label="{} of {} blocks done"></progress> '
            '<span class="wf-quiet wf-nowrap">{} / {}</span>',
            execution.total_blocks,
            done,
            done,
            execution.total_blocks,
            done,
            execution.total_blocks,
        )

    @admin.display(description="Started", ordering="started_at")
    def began(self, execution: Execution) -> SafeString:
        starter = execution.created_by.get_username()
        return format_html('{}<span class="wf-snippet">by {}</span>', moment(execution.started_at), starter)

    @admin.display(description="Duration")
    def took(self, execution: Execution) -> SafeString:
        took = (execution.completed_at or timezone.now()) - execution.started_at
        return format_html('<span class="wf-nowrap">{}</span>', duration(took))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_urls(self) -> list[URLPattern]:
        pages = (("live", self.live_view), ("command", self.command_view))
        own = [
            path(
                f"<int:execution_id>/{name}/",
                self.admin_site.admin_view(view),
                name=f"executions_app_execution_{name}",
            )
            for name, view in pages
        ]
        return [*own, *super().get_urls()]

    def live_view(self, request: HttpRequest, execution_id: int) -> HttpResponse:
        """Return the part of a run's page that changes while it goes on."""
        execution = self.execution_of(request, execution_id)
        return render(request, "admin/execution_live.html", self.page_context(request, execution))

    def command_view(self, request: HttpRequest, execution_id: int) -> HttpResponse:
        """Give a run a command; POST only. What cannot be taken back is asked for once more."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        execution = self.execution_of(request, execution_id)
        user = user_of(request)
        try:
            require_control(user, execution)
            name = request.POST.get("command", "")
            command = command_named(name)
            is_offered = name in offered_commands(execution, user)
            if command.asks_first and is_offered and "confirmed" not in request.POST:
                return self._ask_first(request, execution)
            reason = request.POST.get("reason", "")
            messages.success(request, give_command(execution, command, actor=user, reason=reason))
        except WorkflowError as error:
            messages.error(request, sentence(error.message))
        return HttpResponseRedirect(reverse("admin:executions_app_execution_change", args=[execution_id]))

    def _ask_first(self, request: HttpRequest, execution: Execution) -> HttpResponse:
        context = {
            "title": "Cancel this execution?",
            "command": request.POST["command"],
            "max_reason": MAX_REASON,
        }
        return self.framed(request, execution, "admin/execution_confirm.html", context)

    def page_context(self, request: HttpRequest, row: Execution) -> dict[str, Any]:
        timeline = timeline_of(row)
        now = timezone.now()
        ended = row.status in ENDED_EXECUTION_STATUSES
        current = sum(line.started_at is not None and line.finished_at is None for line in timeline.lines)
        asked = read_log_filter(request.GET)
        user = user_of(request)
        # The picture of the time since a run's start moves on by itself; a little room shows that it is open.
        until = row.completed_at or now + timedelta(seconds=0.5)
        live_url = reverse("admin:executions_app_execution_live", args=[row.pk])
        return {
            "title": f"Execution {row.public_id}",
            "execution": row,
            "ended": ended,
            "restarts": row.generation - 1,
            "commands": list(COMMANDS),
            "offered": offered_commands(row, user),
            "may_control": may_control(user, row),
            "may_start": may(user, row.template, Action.EXECUTION_START),
            "progress": progress_of(row, current),
            "took": (row.completed_at or now) - row.started_at,
            "timeline": timeline,
            "lines": [(line, line.duration(now)) for line in timeline.lines],
            "gantt": gantt_of(timeline.lines, row.started_at, until, earlier_spans(row, timeline)),
            "graph": picture_of(row, timeline),
            "insights": page_parts(row),
            **_files(row),
            "events": _newest_events(row),
            "logs": log_page(row, asked),
            "log_levels": LEVELS,
            "block_names": sorted((line.block_id, line.name) for line in timeline.lines),
            "given": given_input(row),
            "live_url": f"{live_url}?{asked.query(before=asked.before)}",
            "socket_path": f"/ws/executions/{row.public_id}",
        }


@admin.register(RecoveryAction)
class RecoveryActionAdmin(PolicyAdmin):
    """What was done about failed blocks; looked at, not edited."""

    when_empty = (
        "Whenever a block fails, what was done about it, and why, becomes an entry here. No block has "
        "failed yet."
    )
    view_action = Action.EXECUTION_READ
    list_display = (
        "created_at", "block_id", "strategy", "suggested_by", "outcome", "error_type", "reason", "execution",
    )  # fmt: skip
    list_filter = ("strategy", "suggested_by", "outcome", "error_class", "created_at")
    list_select_related = ("execution",)
    list_per_page = 50
    search_fields = ("execution__public_id", "block_id", "fingerprint")
    search_help_text = "Execution id, block or fingerprint of the error"
    show_full_result_count = False
    ordering = ("-id",)


def picture_of(execution: Execution, timeline: Timeline) -> SafeString | None:
    """Return a run's graph with the states of its blocks; None where it is too large to draw."""
    graph = graph_of(compiled_version(execution.version_id).definition)
    begun = {
        (START, name): "taken" for name, status in timeline.statuses.items() if status != BlockStatus.PENDING
    }
    try:
        return render_graph(
            graph,
            title=f"Blocks of execution {execution.public_id}",
            statuses=timeline.statuses,
            outcomes={**timeline.outcomes, **begun},
        )
    except GraphTooLarge:
        return None


def _files(execution: Execution) -> dict[str, Any]:
    rows = artifacts_of_execution(execution.workspace_id, execution.public_id, timezone.now())
    shown = list(rows[: FILES_SHOWN + 1])
    omitted = rows.count() - FILES_SHOWN if len(shown) > FILES_SHOWN else 0
    return {"files": shown[:FILES_SHOWN], "files_omitted": omitted}


def _newest_events(execution: Execution) -> list[ExecutionEvent]:
    return list(ExecutionEvent.objects.filter(execution_id=execution.pk).order_by("-seq")[:EVENTS_SHOWN])

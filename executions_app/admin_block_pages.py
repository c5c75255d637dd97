"""Pages of one block of a run: every time it ran, and the commands on it, each asked for on a page of its own.

They are the API's commands, through the same services and the same permission: who may override runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import urlencode

from executions_app.admin_commands import may_override
from executions_app.admin_pages import ExecutionPages, ReasonForm, user_of
from executions_app.models import BlockExecution, Execution
from executions_app.selectors import list_block_runs, list_recovery_actions
from executions_app.services.blocks import (
    CHANGEABLE,
    OVER,
    BlockChanged,
    reassign_block,
    retry_block,
    skip_block,
)
from executions_app.timeline import block_lines, with_previews
from templates_app.plans import compiled_version
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action, require
from workflow_service.admin_pages import sentence
from workflow_service.agents.catalog import list_agents
from workflow_service.engine.definition import Block
from workflow_service.engine.documents import dump_definition
from workflow_service.engine.errors import WorkflowError
from workflow_service.engine.json_values import JsonUnfit, load_json
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, BlockStatus
from workflow_service.settings.config import get_config

RUNS_SHOWN = 50
ACTIONS_SHOWN = 50


class BlockCommandForm(ReasonForm):
    """One command on a block; the class says what it does, in words and in deed."""

    title: ClassVar[str]
    explained: ClassVar[str]
    button: ClassVar[str]
    done: ClassVar[str]
    is_grave: ClassVar[bool] = False

    def __init__(self, *args: Any, execution: Execution, block: Block, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execution, self.block = execution, block

    def give(self, actor: User) -> BlockChanged:
        """Carry the command out; raises what the service raises."""
        raise NotImplementedError


class RetryForm(BlockCommandForm):
    title = "Retry this block?"
    explained = (
        "It is tried again: at once where it waits for its next try, and by a restart from it where it failed for "
        "good. What depends on it runs again then."
    )
    button = "Retry"
    done = "Retried: it is tried again."

    def give(self, actor: User) -> BlockChanged:
        return retry_block(self.execution.pk, self.block.block_id, self.asked(actor))


class ReassignForm(BlockCommandForm):
    title = "Give this block to another agent?"
    explained = (
        "Another agent does its work; of a map that of the items too which have not begun. Where the block failed for "
        "good the run is restarted from it."
    )
    button = "Reassign"
    done = "Reassigned."

    agent = forms.ChoiceField(help_text="The agents of the workspace, as they stand now.")

    def __init__(self, *args: Any, execution: Execution, **kwargs: Any) -> None:
        super().__init__(*args, execution=execution, **kwargs)
        field = self.fields["agent"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - it is declared above
        agents = sorted(list_agents(execution.workspace_id), key=lambda agent: agent.agent_id)
        named = [(agent.agent_id, f"{agent.agent_id} ({agent.status.lower()})") for agent in agents]
        field.choices = [("", "Choose an agent"), *named]

    def give(self, actor: User) -> BlockChanged:
        agent = self.cleaned_data["agent"]
        return reassign_block(self.execution.pk, self.block.block_id, self.asked(actor), agent)


class SkipForm(BlockCommandForm):
    title = "Skip this block?"
    explained = (
        "The run goes on as if the block had completed. Its work is not done, and a question to people about it is "
        "closed."
    )
    button = "Skip the block"
    done = "Skipped: the run goes on without it."
    is_grave = True

    output = forms.CharField(
        label="Output (JSON)",
        required=False,
        strip=True,
        widget=forms.Textarea(attrs={"rows": 5, "class": "wf-json", "spellcheck": "false"}),
        help_text="What it is to have given: a JSON object. Left empty: its default output, or nothing.",
    )

    def clean_output(self) -> Any:
        """Return the output that was typed, None for nothing; refuses what is no JSON object."""
        text = self.cleaned_data["output"]
        if not text:
            return None
        try:
            value = load_json(text, max_bytes=get_config().max_output_bytes)
        except JsonUnfit as error:
            raise forms.ValidationError(sentence(error.message)) from error
        if not isinstance(value, dict):
            raise forms.ValidationError("It must be a JSON object, as {} is.")
        return value

    def give(self, actor: User) -> BlockChanged:
        output = self.cleaned_data["output"]
        return skip_block(self.execution.pk, self.block.block_id, self.asked(actor), output)


FORMS: Mapping[str, type[BlockCommandForm]] = {
    "retry": RetryForm,
    "reassign": ReassignForm,
    "skip": SkipForm,
}


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which of a block's runs are listed; ``query`` is how the page's address says so."""

    status: str
    superseded: bool

    @property
    def query(self) -> str:
        given = {"status": self.status, "superseded": "yes" if self.superseded else ""}
        return urlencode({name: value for name, value in given.items() if value})


class BlockPages(ExecutionPages):
    """The pages of a run's blocks."""

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view, "executions_app_execution_block"
        return [
            path("<int:execution_id>/block/<str:block_id>/", view(self.block_view), name=name),
            path(
                "<int:execution_id>/block/<str:block_id>/<slug:command>/",
                view(self.block_command_view),
                name=f"{name}_command",
            ),
            *super().get_urls(),
        ]

    def block_view(self, request: HttpRequest, execution_id: int, block_id: str) -> HttpResponse:
        """Show every time a block ran: its rounds, its items, and what restarts have put aside."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        execution = self.execution_of(request, execution_id)
        block = _block_of(execution, block_id)
        status = request.GET.get("status", "")
        asked = RunFilter(status if status in list(BlockStatus) else "", "superseded" in request.GET)
        rows = list_block_runs(
            execution, block_id=block_id, status=asked.status or None, superseded=asked.superseded
        )
        page = Paginator(with_previews(rows), RUNS_SHOWN).get_page(request.GET.get("page"))
        found = list(page.object_list)
        now = timezone.now()
        lines = block_lines(found, {block_id: block})
        last = _last_row(execution, block_id)
        context = {
            "title": f"{block.name or block_id} of {execution.public_id}",
            "step": block,
            "last": last,
            "commands": _offered(execution, last, user_of(request)),
            "runs": [
                (row, line, line.duration(now) if line.started_at else None)
                for row, line in zip(found, lines, strict=True)
            ],
            "page": page,
            "asked": asked,
            "statuses": list(BlockStatus),
            "document": _document(execution, block_id),
            "actions": list(
                list_recovery_actions(execution).filter(block_id=block_id).order_by("-pk")[:ACTIONS_SHOWN]
            ),
        }
        return self.framed(request, execution, "admin/execution_block.html", context)

    def block_command_view(
        self, request: HttpRequest, execution_id: int, block_id: str, command: str
    ) -> HttpResponse:
        """Ask for a command on a block; by POST give it."""
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        execution = self.execution_of(request, execution_id)
        block = _block_of(execution, block_id)
        if command not in FORMS:
            raise Http404
        form = FORMS[command](
            request.POST if request.method == "POST" else None, execution=execution, block=block
        )
        user = user_of(request)
        if request.method == "POST" and form.is_valid() and _give(form, user):
            messages.success(request, form.done)
            return HttpResponseRedirect(reverse("admin:executions_app_execution_change", args=[execution_id]))
        context = {
            "title": form.title,
            "step": block,
            "last": _last_row(execution, block_id),
            "form": form,
            "refused": not may_override(user, execution),
        }
        return self.framed(request, execution, "admin/execution_block_command.html", context)


def _give(form: BlockCommandForm, user: User) -> bool:
    """Carry a command out; False where that was refused, which the form then says."""
    execution = form.execution
    try:
        require(user, execution.workspace, Action.EXECUTION_OVERRIDE, owner_id=execution.created_by_id)
        form.give(user)
    except WorkflowError as error:
        form.refuse(error)
        return False
    return True


def _block_of(execution: Execution, block_id: str) -> Block:
    for block in compiled_version(execution.version_id).definition.blocks:
        if block.block_id == block_id:
            return block
    raise Http404


def _document(execution: Execution, block_id: str) -> Any:
    """Return the block as its template's document has it."""
    blocks: Any = dump_definition(compiled_version(execution.version_id).definition)["blocks"]
    return next(block for block in blocks if block["blockId"] == block_id)


def _last_row(execution: Execution, block_id: str) -> BlockExecution | None:
    """Return the row that a command on the block is about: that of its last round."""
    rows = BlockExecution.objects.filter(
        execution=execution, block_id=block_id, kind=BlockExecution.Kind.BLOCK, superseded=False
    )
    return rows.exclude(status=BlockStatus.PENDING).order_by("-pk").first()


def _offered(execution: Execution, last: BlockExecution | None, user: User) -> list[tuple[str, str]]:
    """Return the commands that may change something, with their labels; the services know the rest."""
    if last is None or not may_override(user, execution):
        return []
    over = last.status in OVER
    if not over and execution.status in ENDED_EXECUTION_STATUSES:
        return []
    names = {
        "retry": over or last.status == BlockStatus.RETRYING,
        "reassign": over or last.status in CHANGEABLE,
        "skip": over or last.status in CHANGEABLE,
    }
    return [(name, FORMS[name].button) for name, is_offered in names.items() if is_offered]

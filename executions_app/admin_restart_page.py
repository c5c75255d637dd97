"""The page from which a run is restarted: where it is to go on, and what of it is kept.

The same service and permissions as the API's: who controls the run restarts it while it stands, and only those who may
override restart one that is under way. The page asks; nothing happens before its form is sent.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from executions_app.admin_commands import may_override
from executions_app.admin_pages import ExecutionPages, ReasonForm, user_of
from executions_app.models import Execution, RecoveryPoint
from executions_app.recovery_points import get_recovery_point
from executions_app.services.restart import Restart, Restarted, restart_execution
from executions_app.timeline import timeline_of
from templates_app.sharing import may
from workflow_service.accounts.policies import Action, require
from workflow_service.engine.errors import WorkflowError
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, BlockStatus, ExecutionStatus

POINTS_OFFERED = 50
BLOCKS_NAMED = 8
NEVER_RAN = frozenset({BlockStatus.PENDING, BlockStatus.SKIPPED})

Choices = list[Any]


class RestartForm(ReasonForm):
    """What a restart is to do. ``start`` is ``""``, ``block:ID`` or ``point:ID``."""

    BLOCK: Final = "block:"
    POINT: Final = "point:"

    start = forms.ChoiceField(
        label="Go on from",
        required=False,
        help_text="What depends on it runs again. Everything else stays as it is, answers of people included.",
    )
    skip_failed = forms.BooleanField(
        label="Skip failed blocks",
        required=False,
        help_text="They count as completed, with their default output.",
    )
    reassign = forms.BooleanField(
        label="Give failed blocks to other agents",
        required=False,
        help_text="To the next agent that may take over, where there is one.",
    )
    reset_state = forms.BooleanField(
        label="Drop the outputs of what runs again",
        required=False,
        help_text="Otherwise they can be read until there are new ones. What they put into the context goes too.",
    )
    drop_context = forms.BooleanField(
        label="Drop what these blocks put into the context",
        required=False,
    )
    # Whether the page said that the run is under way: nobody forces a restart without having been told.
    force = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, choices: Choices, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["start"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - it is declared above
        field.choices = choices

    @property
    def forces(self) -> bool:
        """Whether the restart is to happen although the run is under way."""
        return str(self.cleaned_data["force"]) == "yes"

    def restart(self, execution: Execution) -> Restart:
        """Return what is asked for; raises ``RecoveryPointNotFound``."""
        given = self.cleaned_data
        start = given["start"]
        point = start.removeprefix(self.POINT) if start.startswith(self.POINT) else None
        return Restart(
            from_block=start.removeprefix(self.BLOCK) if start.startswith(self.BLOCK) else None,
            after_seq=get_recovery_point(execution, point).seq if point is not None else None,
            skip_failed=given["skip_failed"],
            reset_state=given["reset_state"],
            preserve_context=not (given["reset_state"] or given["drop_context"]),
            force=self.forces,
            reassign=given["reassign"],
        )


class RestartPage(ExecutionPages):
    """The page that asks for a restart."""

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<int:execution_id>/restart/",
            self.admin_site.admin_view(self.restart_view),
            name="executions_app_execution_restart",
        )
        return [own, *super().get_urls()]

    def restart_view(self, request: HttpRequest, execution_id: int) -> HttpResponse:
        """Ask how to restart a run; by POST restart it."""
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        execution = self.execution_of(request, execution_id)
        under_way = _is_under_way(execution)
        form = RestartForm(
            request.POST if request.method == "POST" else None,
            choices=list(_starts(execution)),
            initial={"start": request.GET.get("from", ""), "force": "yes" if under_way else ""},
        )
        if request.method == "POST" and form.is_valid() and (done := self._restart(request, execution, form)):
            messages.success(request, _told(done))
            return HttpResponseRedirect(reverse("admin:executions_app_execution_change", args=[execution_id]))
        user = user_of(request)
        context = {
            "title": "Restart this execution",
            "form": form,
            "under_way": under_way,
            "refused": under_way and not may_override(user, execution),
            "may_start": may(user, execution.template, Action.EXECUTION_START),
        }
        return self.framed(request, execution, "admin/execution_restart.html", context)

    def _restart(self, request: HttpRequest, execution: Execution, form: RestartForm) -> Restarted | None:
        """Restart a run; None where that was refused, which the form then says."""
        user = user_of(request)
        action = Action.EXECUTION_OVERRIDE if form.forces else Action.EXECUTION_CONTROL
        try:
            require(user, execution.workspace, action, owner_id=execution.created_by_id)
            return restart_execution(execution.pk, form.asked(user), form.restart(execution))
        except WorkflowError as error:
            form.refuse(error)
            return None


def _is_under_way(execution: Execution) -> bool:
    return execution.status not in (*ENDED_EXECUTION_STATUSES, ExecutionStatus.PAUSED)


def _starts(execution: Execution) -> Iterator[Any]:
    """Yield where a run can go on from: what failed, each block that ran, and its newest recovery points."""
    yield "", "What failed or was cancelled"
    lines = timeline_of(execution).lines
    names = {line.block_id: line.name for line in lines}
    ran = [line for line in lines if line.status not in NEVER_RAN]
    if ran:
        yield "From a block", [(f"{RestartForm.BLOCK}{line.block_id}", line.name) for line in ran]
    points = RecoveryPoint.objects.filter(execution=execution).order_by("-pk")[:POINTS_OFFERED]
    if points:
        yield "From a recovery point", [_point(point, names) for point in points]


def _point(point: RecoveryPoint, names: dict[str, str]) -> tuple[str, str]:
    at = point.created_at.strftime("%d %b %H:%M:%S UTC")
    where = f", at {names.get(point.block_id, point.block_id)}" if point.block_id else ""
    return f"{RestartForm.POINT}{point.public_id}", f"{at}{where}"


def _told(done: Restarted) -> str:
    return f"Restarted. {_named(done.affected)}" if done.affected else "Restarted."


def _named(blocks: Sequence[str]) -> str:
    """Return in words which blocks run again."""
    if len(blocks) == 1:
        return f"{blocks[0]} runs again."
    shown = ", ".join(blocks[:BLOCKS_NAMED])
    if len(blocks) > BLOCKS_NAMED:
        return f"{shown} and {len(blocks) - BLOCKS_NAMED} more run again."
    return f"{', '.join(blocks[:-1])} and {blocks[-1]} run again."

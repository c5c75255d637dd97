"""Commands on executions over HTTP: document A section 5.2. Starters control their own runs."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions_app.api.control_serializers import (
    CancelAnswer,
    CommandBody,
    PauseAnswer,
    ResumeAnswer,
    cancel_answer,
    pause_answer,
    resume_answer,
)
from executions_app.models import Execution
from executions_app.selectors import get_execution
from executions_app.services.control import (
    Asked,
    cancel_execution,
    pause_execution,
    resume_execution,
)
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.api_serializers import QuerySerializer, read_body, read_query
from workflow_service.idempotent_posts import idempotent_post

TAGS = ["executions"]


class ControlView(APIView):
    """A command that commits its own transaction, and keeps its answer in it."""

    commits_itself = True


class PauseView(ControlView):
    """A run's pause."""

    @extend_schema(
        summary="Pause an execution",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=CommandBody,
        responses=PauseAnswer,
    )
    def post(self, request: Request, execution_id: str) -> Response:
        """Let nothing start any more. Blocks at work finish, and their results are recorded."""
        execution, asked = commanded(request, execution_id)
        return answered(
            request, pause_answer, lambda confirm: pause_execution(execution.pk, asked, confirm=confirm)
        )


class ResumeView(ControlView):
    """A run's going on."""

    @extend_schema(
        summary="Resume an execution",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=CommandBody,
        responses=ResumeAnswer,
    )
    def post(self, request: Request, execution_id: str) -> Response:
        """Let a paused run go on; timers and retries that fell due meanwhile fire."""
        execution, asked = commanded(request, execution_id)
        return answered(
            request, resume_answer, lambda confirm: resume_execution(execution.pk, asked, confirm=confirm)
        )


class CancelView(ControlView):
    """A run's early end."""

    @extend_schema(
        summary="Cancel an execution",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=CommandBody,
        responses=CancelAnswer,
    )
    def post(self, request: Request, execution_id: str) -> Response:
        """End the run at once. Blocks at work are told to stop, and their results are dropped.

        Ask again to learn whether they have: `cleanupStatus`.
        """
        execution, asked = commanded(request, execution_id)
        return answered(
            request, cancel_answer, lambda confirm: cancel_execution(execution.pk, asked, confirm=confirm)
        )


def commanded(request: Request, execution_id: str) -> tuple[Execution, Asked]:
    """Return the run a command is about, if its user may control it, and who gives the command."""
    read_query(QuerySerializer, request)
    body = read_body(CommandBody, request)
    execution = controlled_execution(request, execution_id, Action.EXECUTION_CONTROL)
    return execution, Asked.by(current_user(request), body.get("reason", ""))


def controlled_execution(request: Request, execution_id: str, action: Action) -> Execution:
    """Return the run a command is about; raises ``ExecutionNotFound``, ``Forbidden``."""
    user = current_user(request)
    workspace = workspace_of(request, holding=Execution.objects.filter(public_id=execution_id))
    require(user, workspace, Action.EXECUTION_READ)
    execution = get_execution(workspace, execution_id)
    require(user, workspace, action, owner_id=execution.created_by_id)
    return execution


def answered(
    request: Request,
    shape: Callable[[Any], dict[str, Any]],
    command: Callable[[Callable[[Any], object]], Any],
    *,
    status: int = 200,
) -> Response:
    """Give a command and return its answer, which is kept in its transaction where the request bears a key."""
    post = idempotent_post(request)

    def confirm(result: Any) -> None:
        if post is not None:
            post.record(status, shape(result))

    return Response(shape(command(confirm)), status=status)

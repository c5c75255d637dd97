"""Restarts, recovery points and commands on single blocks over HTTP (document A sections 4.2 and 5.2)."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from executions_app.api.control_serializers import CommandBody
from executions_app.api.control_views import ControlView, answered, controlled_execution
from executions_app.api.requests import readable_execution
from executions_app.api.restart_serializers import (
    BlockCommandAnswer,
    ReassignBody,
    RecoveryPointList,
    RecoveryPointShape,
    RestartAnswer,
    RestartBody,
    SkipBody,
    block_answer,
    read_restart,
    restart_answer,
)
from executions_app.models import Execution, RecoveryPoint
from executions_app.recovery_points import get_recovery_point, point_documents
from executions_app.services.blocks import reassign_block, retry_block, skip_block
from executions_app.services.control import Asked, create_recovery_point
from executions_app.services.restart import restart_execution
from workflow_service.accounts.api.requests import current_user
from workflow_service.accounts.policies import Action
from workflow_service.api_serializers import (
    CamelSerializer,
    PageQuery,
    QuerySerializer,
    page_of,
    read_body,
    read_query,
)

TAGS = ["executions"]
RESTART_EXAMPLE = OpenApiExample(
    "Restart",
    value={
        "fromBlock": "block_transform",
        "resetState": False,
        "options": {"skipFailedBlocks": False, "reassignAgents": True, "preserveContext": True},
    },
    request_only=True,
)


class RestartView(ControlView):
    """A run's restart."""

    @extend_schema(
        summary="Restart an execution",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=RestartBody,
        examples=[RESTART_EXAMPLE],
        responses=RestartAnswer,
    )
    def post(self, request: Request, execution_id: str) -> Response:
        """Let a run that has ended or is paused go on: from what failed, from a block, or from a recovery point.

        What depends on it runs again; everything else stays as it is, approvals of the same input included.
        """
        return _restart(request, execution_id, Action.EXECUTION_CONTROL, force=False)


class ForceRestartView(ControlView):
    """A restart of a run under way."""

    @extend_schema(
        summary="Restart an execution that is under way",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=RestartBody,
        responses=RestartAnswer,
    )
    def post(self, request: Request, execution_id: str) -> Response:
        """Restart whatever state the run is in; for operators. Affected blocks at work are told to stop."""
        return _restart(request, execution_id, Action.EXECUTION_OVERRIDE, force=True)


class RecoveryPointsView(ControlView):
    """The recovery points of a run."""

    @extend_schema(
        summary="List recovery points",
        operation_id="executions_recovery_points_list",
        tags=TAGS,
        parameters=[PageQuery],
        responses=RecoveryPointList,
    )
    def get(self, request: Request, execution_id: str) -> Response:
        """List the moments that the run can be restarted from, oldest first."""
        query = read_query(PageQuery, request)
        execution = readable_execution(request, execution_id)
        points = RecoveryPoint.objects.filter(execution=execution).order_by("pk")
        page = page_of("recovery_points", points, query, lambda some: point_documents(execution, some))
        return Response(RecoveryPointList(page | {"execution_id": execution.public_id}).data)

    @extend_schema(
        summary="Make a recovery point",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=CommandBody,
        responses={201: RecoveryPointShape},
    )
    def post(self, request: Request, execution_id: str) -> Response:
        """Note that the run can be restarted from where it stands now."""
        execution, asked, _ = _asked(request, execution_id, CommandBody, Action.EXECUTION_CONTROL)

        def shape(point: RecoveryPoint) -> dict[str, Any]:
            (document,) = point_documents(execution, [point])
            return dict(RecoveryPointShape(document).data)

        return answered(
            request,
            shape,
            lambda confirm: create_recovery_point(execution.pk, asked, confirm=confirm),
            status=201,
        )


class RetryBlockView(ControlView):
    """Another try of one block."""

    @extend_schema(
        summary="Retry a block",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=CommandBody,
        responses=BlockCommandAnswer,
    )
    def post(self, request: Request, execution_id: str, block_id: str) -> Response:
        """Try a block again: at once where it waits for its next try; by a restart from it where it failed."""
        execution, asked, _ = _asked(request, execution_id, CommandBody, Action.EXECUTION_OVERRIDE)
        return answered(
            request,
            block_answer,
            lambda confirm: retry_block(execution.pk, block_id, asked, confirm=confirm),
        )


class ReassignBlockView(ControlView):
    """Another agent for one block."""

    @extend_schema(
        summary="Reassign a block",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=ReassignBody,
        responses=BlockCommandAnswer,
    )
    def post(self, request: Request, execution_id: str, block_id: str) -> Response:
        """Give a block that has not completed to another agent; one that failed is restarted from with it."""
        execution, asked, body = _asked(request, execution_id, ReassignBody, Action.EXECUTION_OVERRIDE)
        agent_id = body["agent_id"]
        return answered(
            request,
            block_answer,
            lambda confirm: reassign_block(execution.pk, block_id, asked, agent_id, confirm=confirm),
        )


class SkipBlockView(ControlView):
    """A run's way past one block."""

    @extend_schema(
        summary="Skip a block",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=SkipBody,
        responses=BlockCommandAnswer,
    )
    def post(self, request: Request, execution_id: str, block_id: str) -> Response:
        """Go on as if a block had completed, with the output given or its `defaultOutput`."""
        execution, asked, body = _asked(request, execution_id, SkipBody, Action.EXECUTION_OVERRIDE)
        output = body.get("output")
        return answered(
            request,
            block_answer,
            lambda confirm: skip_block(execution.pk, block_id, asked, output, confirm=confirm),
        )


def _restart(request: Request, execution_id: str, action: Action, *, force: bool) -> Response:
    execution, asked, body = _asked(request, execution_id, RestartBody, action)
    point_id = body.get("recovery_point_id")
    after_seq = get_recovery_point(execution, point_id).seq if point_id is not None else None
    restart = read_restart(body, after_seq=after_seq, force=force)
    return answered(
        request,
        restart_answer,
        lambda confirm: restart_execution(execution.pk, asked, restart, confirm=confirm),
    )


def _asked(
    request: Request, execution_id: str, body_class: type[CamelSerializer], action: Action
) -> tuple[Execution, Asked, dict[str, Any]]:
    """Return the run, who gives the command and why, and the checked body."""
    read_query(QuerySerializer, request)
    body = read_body(body_class, request)
    execution = controlled_execution(request, execution_id, action)
    return execution, Asked.by(current_user(request), body.get("reason", "")), body

"""Decisions over HTTP: what was decided at the questions of runs, and what people say was right."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions_app.api.control_views import ControlView, answered
from executions_app.api.requests import readable_execution
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.models import Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.api_serializers import PageQuery, QuerySerializer, page_of, read_body, read_query
from workflow_service.decisions.api.serializers import (
    DecisionList,
    DecisionListQuery,
    DecisionShape,
    OverrideBody,
    decision_document,
)
from workflow_service.decisions.models import Decision
from workflow_service.decisions.selectors import decisions_of, get_decision, list_decisions
from workflow_service.decisions.services.override import override_decision

TAGS = ["decisions"]
OVERRIDE_EXAMPLE = OpenApiExample(
    "Override",
    value={"choice": ["refund"], "reason": "They ask for their money, politely."},
    request_only=True,
)


class ExecutionDecisionsView(APIView):
    """The decisions of one run."""

    @extend_schema(
        summary="List the decisions of an execution",
        operation_id="executions_decisions_list",
        tags=TAGS,
        parameters=[PageQuery],
        responses=DecisionList,
    )
    def get(self, request: Request, execution_id: str) -> Response:
        """List how the run's questions were answered, oldest first; those included that a restart took back."""
        query = read_query(PageQuery, request)
        return _page(decisions_of(readable_execution(request, execution_id)), query)


class DecisionsView(APIView):
    """The decisions of a workspace."""

    @extend_schema(
        summary="Search decisions",
        operation_id="decisions_list",
        tags=TAGS,
        parameters=[DecisionListQuery],
        responses=DecisionList,
    )
    def get(self, request: Request) -> Response:
        """List decisions, newest first: by template, block, source, confidence, time, or words."""
        query = read_query(DecisionListQuery, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.EXECUTION_READ)
        wanted = {
            name: query.get(name)
            for name in (
                "template_id", "block_id", "source", "max_confidence", "overridden", "search", "since", "until",
            )
        }  # fmt: skip
        return _page(list_decisions(workspace, **wanted), query)


class DecisionView(APIView):
    """One decision."""

    @extend_schema(
        summary="Read a decision", tags=TAGS, parameters=[QuerySerializer], responses=DecisionShape
    )
    def get(self, request: Request, decision_id: str) -> Response:
        """Give what was asked, of which values, who decided what, how sure they were and what it cost."""
        read_query(QuerySerializer, request)
        decision = get_decision(_workspace_of(request, decision_id), decision_id)
        return Response(DecisionShape(decision_document(decision)).data)


class OverrideView(ControlView):
    """What a person says was right."""

    @extend_schema(
        summary="Override a decision",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=OverrideBody,
        examples=[OVERRIDE_EXAMPLE],
        responses=DecisionShape,
    )
    def post(self, request: Request, decision_id: str) -> Response:
        """Say which way was right; for operators. Like cases go that way from now on.

        Where the run is under way and nothing has begun of the way it took, it takes the right one (`rerouted`).
        """
        read_query(QuerySerializer, request)
        body = read_body(OverrideBody, request)
        user = current_user(request)
        workspace = _workspace_of(request, decision_id)
        decision = get_decision(workspace, decision_id)
        require(user, workspace, Action.EXECUTION_OVERRIDE)
        return answered(
            request,
            lambda found: DecisionShape(decision_document(found)).data,
            lambda confirm: override_decision(
                decision=decision,
                actor=user,
                choice=body["choice"],
                reason=body["reason"],
                confirm=confirm,
            ),
        )


def _workspace_of(request: Request, decision_id: str) -> Workspace:
    workspace = workspace_of(request, holding=Decision.objects.filter(public_id=decision_id))
    require(current_user(request), workspace, Action.EXECUTION_READ)
    return workspace


def _page(rows: QuerySet[Decision], query: dict[str, Any]) -> Response:
    page = page_of("decisions", rows, query, lambda some: [decision_document(one) for one in some])
    return Response(DecisionList(page).data)

"""Approvals over HTTP (document A section 5.3)."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from approvals_app.api.serializers import (
    ApprovalDetail,
    ApprovalResponse,
    PendingApprovals,
    PendingQuery,
    ResponseAccepted,
    page_of,
)
from approvals_app.assignment import responder_of
from approvals_app.models import Approval
from approvals_app.selectors import get_approval, list_pending, narrow
from approvals_app.services.approvals import respond_to_approval
from executions_app.timeline import timeline_of
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.api_serializers import QuerySerializer, read_body, read_query


class PendingApprovalsView(APIView):
    """The approvals that wait for the user."""

    @extend_schema(
        summary="List the approvals that wait for you",
        tags=["approvals"],
        parameters=[PendingQuery],
        responses=PendingApprovals,
    )
    def get(self, request: Request) -> Response:
        """List pending approvals that you may answer, newest first."""
        query = read_query(PendingQuery, request)
        user, workspace = current_user(request), workspace_of(request)
        require(user, workspace, Action.APPROVAL_READ)
        pending = narrow(
            list_pending(user, workspace),
            execution_id=query.get("execution_id"),
            block_id=query.get("block_id"),
            step_type=query.get("type"),
            level=query.get("level"),
        )
        shown = list(pending[query["offset"] : query["offset"] + query["limit"]])
        page = page_of(shown, pending.count(), query)
        return Response(PendingApprovals(page, context={"responder": responder_of(user, workspace)}).data)


class ApprovalView(APIView):
    """One approval."""

    @extend_schema(
        summary="Get an approval", tags=["approvals"], parameters=[QuerySerializer], responses=ApprovalDetail
    )
    def get(self, request: Request, approval_id: str) -> Response:
        """Return what is asked, by whom and why, and the run so far; answered ones too."""
        read_query(QuerySerializer, request)
        user = current_user(request)
        approval = _named(request, approval_id)
        context = {"responder": responder_of(user, approval.workspace)}
        execution = approval.execution
        run = {
            "status": execution.status,
            "started_at": execution.started_at,
            "total_blocks": execution.total_blocks,
            "completed_blocks": execution.completed_blocks,
            "blocks": timeline_of(execution).lines,
        }
        approval.run = run  # type: ignore[attr-defined]
        return Response(ApprovalDetail(approval, context=context).data)


class RespondView(APIView):
    """An answer."""

    commits_itself = True

    @extend_schema(
        summary="Answer an approval",
        tags=["approvals"],
        request=ApprovalResponse,
        responses=ResponseAccepted,
    )
    def post(self, request: Request, approval_id: str) -> Response:
        """Approve or reject. The same answer again changes nothing; the opposite one is refused (409)."""
        body = read_body(ApprovalResponse, request)
        approval = respond_to_approval(
            approval_id=_named(request, approval_id, body=body).public_id,
            actor=current_user(request),
            approved=body["approved"],
            response=body.get("response"),
            comments=body["comments"],
            source="api",
        )
        return Response(ResponseAccepted(approval).data)


def _named(request: Request, approval_id: str, *, body: dict[str, Any] | None = None) -> Approval:
    """Return the approval if it lies in the workspace that the request is about."""
    holding = Approval.objects.filter(public_id=approval_id)
    workspace = workspace_of(request, body=body, holding=holding)
    return get_approval(current_user(request), approval_id, workspace)

"""Approvals over HTTP (document A section 5.3)."""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from approvals_app.api.serializers import (
    OVERDUE,
    AllQuery,
    ApprovalDetail,
    ApprovalHistory,
    ApprovalResponse,
    Comment,
    CommentShape,
    Delegation,
    DelegationMade,
    PendingApprovals,
    PendingQuery,
    ResponseAccepted,
    page_of,
)
from approvals_app.assignment import responder_of
from approvals_app.models import Approval
from approvals_app.selectors import get_approval, history_of, list_approvals, list_pending, narrow
from approvals_app.services.approvals import respond_to_approval
from approvals_app.services.delegation import comment_on_approval, delegate_approval
from executions_app.timeline import timeline_of
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.models import User, Workspace
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
        """List pending approvals that you may answer and have not yet, newest first."""
        query = read_query(PendingQuery, request)
        user, workspace = _reader(request)
        return _page(request, query, list_pending(user, workspace))


class ApprovalsView(APIView):
    """The approvals that the user may see."""

    @extend_schema(
        operation_id="approvals_list",
        summary="List approvals",
        tags=["approvals"],
        parameters=[AllQuery],
        responses=PendingApprovals,
    )
    def get(self, request: Request) -> Response:
        """List the approvals that concern you, answered ones too; all of the workspace for admins and operators."""
        query = read_query(AllQuery, request)
        user, workspace = _reader(request)
        approvals = list_approvals(user).filter(workspace=workspace)
        status = query.get("status")
        return _page(
            request, query, approvals if status in (None, OVERDUE) else approvals.filter(status=status)
        )


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
        context = {"responder": responder_of(user, approval.workspace), "now": timezone.now()}
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
        """Approve or reject. The same answer again changes nothing; another one is refused (409)."""
        body = read_body(ApprovalResponse, request)
        approval = respond_to_approval(
            approval_id=_named(request, approval_id, body=body).public_id,
            actor=current_user(request),
            approved=body["approved"],
            response=body.get("response"),
            comments=body["comments"],
            source="api",
            version=body.get("version"),
        )
        return Response(ResponseAccepted(approval).data)


class DelegateView(APIView):
    """A question handed on."""

    commits_itself = True

    @extend_schema(
        summary="Hand an approval to somebody else",
        tags=["approvals"],
        request=Delegation,
        responses=DelegationMade,
    )
    def post(self, request: Request, approval_id: str) -> Response:
        """Have somebody else answer too; of the two of you one vote counts. The same again changes nothing."""
        body = read_body(Delegation, request)
        approval = delegate_approval(
            approval_id=_named(request, approval_id, body=body).public_id,
            actor=current_user(request),
            to=body["to"],
            comments=body["comments"],
            source="api",
        )
        made = approval.delegations.order_by("id").values_list("to_user__username", flat=True)
        approval.delegates = list(dict.fromkeys(made))  # type: ignore[attr-defined]
        return Response(DelegationMade(approval).data)


class CommentView(APIView):
    """Something said about a question."""

    commits_itself = True

    @extend_schema(
        summary="Comment on an approval", tags=["approvals"], request=Comment, responses={201: CommentShape}
    )
    def post(self, request: Request, approval_id: str) -> Response:
        """Say something to everybody who sees the approval; it decides nothing."""
        body = read_body(Comment, request)
        said = comment_on_approval(
            approval_id=_named(request, approval_id, body=body).public_id,
            actor=current_user(request),
            text=body["text"],
            source="api",
        )
        return Response(CommentShape(said).data, status=201)


class HistoryView(APIView):
    """What happened to a question."""

    @extend_schema(
        summary="Get an approval's history",
        tags=["approvals"],
        parameters=[QuerySerializer],
        responses=ApprovalHistory,
    )
    def get(self, request: Request, approval_id: str) -> Response:
        """Return who did what, when and through which door: votes, delegations, comments, reminders, escalations."""
        read_query(QuerySerializer, request)
        approval = _named(request, approval_id)
        document = {"approval_id": approval.public_id, "history": history_of(approval)}
        return Response(ApprovalHistory(document).data)


def _reader(request: Request) -> tuple[User, Workspace]:
    user, workspace = current_user(request), workspace_of(request)
    require(user, workspace, Action.APPROVAL_READ)
    return user, workspace


def _page(request: Request, query: dict[str, Any], approvals: QuerySet[Approval]) -> Response:
    user, workspace = current_user(request), workspace_of(request)
    now = timezone.now()
    found = narrow(
        approvals,
        execution_id=query.get("execution_id"),
        block_id=query.get("block_id"),
        step_type=query.get("type"),
        level=query.get("level"),
        search=query.get("search"),
        overdue_at=now if query.get("status") == OVERDUE else None,
        sort=query["sort"],
    )
    shown = list(found[query["offset"] : query["offset"] + query["limit"]])
    context = {"responder": responder_of(user, workspace), "now": now}
    return Response(PendingApprovals(page_of(shown, found.count(), query), context=context).data)


def _named(request: Request, approval_id: str, *, body: dict[str, Any] | None = None) -> Approval:
    """Return the approval if it lies in the workspace that the request is about."""
    approval_id = approval_id.replace("\x00", "")
    holding = Approval.objects.filter(public_id=approval_id)
    workspace = workspace_of(request, body=body, holding=holding)
    return get_approval(current_user(request), approval_id, workspace)

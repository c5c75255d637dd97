"""What language models cost, and may cost, over HTTP."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.models import Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.ai.api.serializers import (
    BudgetBody,
    BudgetList,
    BudgetsBody,
    UsageQuery,
    UsageSummary,
)
from workflow_service.ai.services.budgets import BudgetDraft, replace_budgets
from workflow_service.ai.usage import get_usage_summary, list_budgets
from workflow_service.api_serializers import (
    QueryInvalid,
    QuerySerializer,
    RequestInvalid,
    check_object,
    read_body,
    read_query,
)
from workflow_service.engine.errors import Problem
from workflow_service.engine.json_values import json_pointer

TAGS = ["language models"]
DAYS = 30


class UsageView(APIView):
    """What was asked of language models."""

    @extend_schema(
        summary="Sum up usage",
        operation_id="ai_usage",
        tags=TAGS,
        parameters=[UsageQuery],
        responses=UsageSummary,
    )
    def get(self, request: Request) -> Response:
        """Sum up calls, tokens and cost, in all and by operation, template, user, model or day."""
        query = read_query(UsageQuery, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.USAGE_READ)
        end = query.get("end") or timezone.now()
        start = query.get("start") or end - timedelta(days=DAYS)
        if start >= end:
            problem = Problem("BAD_RANGE", "must be before 'to'", "/from")
            raise QueryInvalid("the query is not valid: 'from' must be before 'to'", [problem])
        summary = get_usage_summary(workspace, start=start, end=end, group_by=query["group_by"])
        shape = summary | {"start": start, "end": end, "group_by": query["group_by"]}
        return Response(UsageSummary(shape).data)


class BudgetsView(APIView):
    """The budgets of a workspace."""

    @extend_schema(
        summary="List budgets",
        operation_id="ai_budgets",
        tags=TAGS,
        parameters=[QuerySerializer],
        responses=BudgetList,
    )
    def get(self, request: Request) -> Response:
        """List the workspace's budgets, and what is spent and reserved of each in its present period."""
        read_query(QuerySerializer, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.USAGE_READ)
        return _listed(workspace)

    @extend_schema(
        summary="Set budgets",
        operation_id="ai_budgets_set",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=BudgetsBody,
        responses=BudgetList,
    )
    def put(self, request: Request) -> Response:
        """Make these the workspace's budgets. One that stays (same scope, subject and period) keeps what was spent."""
        read_query(QuerySerializer, request)
        workspace = workspace_of(request)
        drafts = _drafts(request)
        replace_budgets(workspace=workspace, actor=current_user(request), drafts=drafts)
        return _listed(workspace)


def _listed(workspace: Workspace) -> Response:
    return Response(BudgetList({"budgets": list_budgets(workspace)}).data)


def _drafts(request: Request) -> list[BudgetDraft]:
    body: dict[str, Any] = request.data if isinstance(request.data, dict) else {}
    read_body(BudgetsBody, request)
    drafts: list[BudgetDraft] = []
    problems: list[Problem] = []
    # Each by itself: a field that nobody knows is refused inside of a list too.
    for index, given in enumerate(body["budgets"]):
        data, wrong = check_object(BudgetBody, given)
        place = json_pointer("budgets", index)
        problems += [Problem(one.code, one.message, place + one.pointer, one.suggestion) for one in wrong]
        if not wrong:
            drafts.append(BudgetDraft(**data))
    if problems:
        raise RequestInvalid(f"the body is not valid: {problems[0].pointer}: {problems[0].message}", problems)
    return drafts

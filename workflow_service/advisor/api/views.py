"""Suggestions over HTTP."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from templates_app.api.requests import readable_template
from templates_app.sharing import require_on
from workflow_service.accounts.api.requests import current_user
from workflow_service.accounts.policies import Action
from workflow_service.accounts.throttles import LlmThrottle
from workflow_service.advisor.api.serializers import (
    AcceptBody,
    AnalyseBody,
    AnalysisShape,
    RejectBody,
    SuggestionDetail,
    SuggestionList,
    SuggestionShape,
    SuggestionsQuery,
    analysis_document,
    suggestion_detail,
    suggestion_document,
)
from workflow_service.advisor.models import OptimizationRecord
from workflow_service.advisor.selectors import get_suggestion, list_suggestions
from workflow_service.advisor.services.analysis import analyse
from workflow_service.advisor.services.suggestions import accept, reject
from workflow_service.api_serializers import QuerySerializer, page_of, read_body, read_query

TAGS = ["suggestions"]


class SuggestionsView(APIView):
    """What could be better about a template."""

    throttle_classes = (LlmThrottle,)
    # What a language model may cost is reserved and booked in transactions of its own.
    commits_itself = True

    @extend_schema(
        summary="List suggestions",
        operation_id="templates_suggestions_list",
        tags=TAGS,
        parameters=[SuggestionsQuery],
        responses=SuggestionList,
    )
    def get(self, request: Request, template_id: str) -> Response:
        """List the suggestions about a template, those about its newest version first, the most urgent first."""
        query = read_query(SuggestionsQuery, request)
        template = readable_template(request, template_id)
        rows = list_suggestions(template, query.get("status"))
        shape = {
            "template_id": template.public_id,
            "optimization_score": template.optimization_score,
            "last_optimization_check": template.last_optimization_check,
            **page_of("suggestions", rows, query, lambda some: [suggestion_document(one) for one in some]),
        }
        return Response(SuggestionList(shape).data)

    @extend_schema(
        summary="Analyse a template",
        operation_id="templates_suggestions_analyse",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=AnalyseBody,
        responses=AnalysisShape,
    )
    def post(self, request: Request, template_id: str) -> Response:
        """Look at how the template's current version ran, and replace its open suggestions by those that hold now.

        Every estimate is a replay of recorded runs. With fewer than 20 runs nothing is suggested, and `notes` says so.
        """
        read_query(QuerySerializer, request)
        body, template = read_body(AnalyseBody, request), readable_template(request, template_id)
        user = current_user(request)
        require_on(template, user, Action.TEMPLATE_UPDATE)
        report = analyse(template, body.get("since"), actor=user, with_model=body["use_model"])
        return Response(AnalysisShape(analysis_document(report)).data)


class SuggestionView(APIView):
    """One suggestion."""

    @extend_schema(
        summary="Read a suggestion", tags=TAGS, parameters=[QuerySerializer], responses=SuggestionDetail
    )
    def get(self, request: Request, template_id: str, suggestion_id: str) -> Response:
        """Give a suggestion with its numbers, the definition that it makes, and what that changes."""
        read_query(QuerySerializer, request)
        record = _suggestion(request, template_id, suggestion_id)
        return Response(SuggestionDetail(suggestion_detail(record)).data)


class AcceptView(APIView):
    """A suggestion taken."""

    @extend_schema(
        summary="Accept a suggestion",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=AcceptBody,
        responses=SuggestionShape,
    )
    def post(self, request: Request, template_id: str, suggestion_id: str) -> Response:
        """Give the template the version that the suggestion makes; what it was worth is measured on its runs.

        409 if it is decided already, or if the template has another version than the suggestion is about.
        """
        read_query(QuerySerializer, request)
        body = read_body(AcceptBody, request)
        record = _suggestion(request, template_id, suggestion_id)
        taken = accept(record, current_user(request), body.get("change_note", ""))
        return Response(SuggestionShape(suggestion_document(taken)).data)


class RejectView(APIView):
    """A suggestion refused."""

    @extend_schema(
        summary="Reject a suggestion",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=RejectBody,
        responses=SuggestionShape,
    )
    def post(self, request: Request, template_id: str, suggestion_id: str) -> Response:
        """Say that a suggestion is not wanted: no analysis makes it again."""
        read_query(QuerySerializer, request)
        body = read_body(RejectBody, request)
        record = _suggestion(request, template_id, suggestion_id)
        refused = reject(record, current_user(request), body.get("reason", ""))
        return Response(SuggestionShape(suggestion_document(refused)).data)


def _suggestion(request: Request, template_id: str, suggestion_id: str) -> OptimizationRecord:
    return get_suggestion(readable_template(request, template_id), suggestion_id)

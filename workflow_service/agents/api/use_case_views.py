"""The use cases of this server over HTTP, with what they take and give."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.agents.use_cases import REGISTRY, UseCase
from workflow_service.api_serializers import CamelSerializer, JsonObjectField, QuerySerializer, read_query

TAGS = ["agents"]


class UseCaseQuery(QuerySerializer):
    q = serializers.CharField(required=False, max_length=200, help_text="Words of its name or summary.")


class UseCaseShape(CamelSerializer):
    name = serializers.CharField(help_text="What `useCase` names.")
    summary = serializers.CharField()
    keywords = serializers.ListField(
        child=serializers.CharField(), help_text="Words that a search finds it by."
    )
    input_schema = JsonObjectField()
    output_schema = JsonObjectField()


class UseCaseList(CamelSerializer):
    use_cases = UseCaseShape(many=True)
    total = serializers.IntegerField()


class UseCasesView(APIView):
    """What blocks of the tool type USE_CASE can name."""

    @extend_schema(
        summary="List use cases",
        operation_id="use_cases_list",
        tags=TAGS,
        parameters=[UseCaseQuery],
        responses=UseCaseList,
    )
    def get(self, request: Request) -> Response:
        """List the use cases of this server, plug-ins included, with JSON schemas of input and output."""
        query = read_query(UseCaseQuery, request)
        require(current_user(request), workspace_of(request), Action.TEMPLATE_READ)
        wanted = query.get("q", "").lower().split()
        found = [
            use_case_document(use_case)
            for use_case in map(REGISTRY.get, REGISTRY.names())
            if all(word in f"{use_case.name} {use_case.summary}".lower() for word in wanted)
        ]
        return Response(UseCaseList({"use_cases": found, "total": len(found)}).data)


def use_case_document(use_case: UseCase) -> dict[str, Any]:
    """Return a use case as ``UseCaseShape`` shows it."""
    return {
        "name": use_case.name,
        "summary": use_case.summary,
        "keywords": use_case.keywords(),
        "input_schema": use_case.input_schema(),
        "output_schema": use_case.output_schema(),
    }

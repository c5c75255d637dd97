"""Workflows in plain words over HTTP: document B section 5.1.1's ``explain``."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from templates_app.bodies import read_template
from templates_app.selectors import get_version
from templates_app.services.designing import Method
from templates_app.services.explaining import Explanation, explain_definition
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.accounts.throttles import LlmThrottle
from workflow_service.api_serializers import (
    JsonField,
    JsonObjectField,
    SnakeQuery,
    SnakeSerializer,
    list_of,
    read_body,
    read_query,
)
from workflow_service.engine.documents import load_definition
from workflow_service.workflows_api.requests import readable_workflow

METHOD_HELP = "Who explains: `llm`, `rules`, or `auto` (the model where there is one, else the rules)."


class ExplainQuery(SnakeQuery):
    method = serializers.ChoiceField(
        choices=[one.value for one in Method], required=False, help_text=METHOD_HELP
    )
    version = serializers.CharField(
        required=False, max_length=32, help_text="Not given: the current version."
    )


class ExplainBodyQuery(SnakeQuery):
    method = serializers.ChoiceField(
        choices=[one.value for one in Method], required=False, help_text=METHOD_HELP
    )


class ExplainBody(SnakeSerializer):
    """A workflow nobody has saved: `dsl` with `states`, or `blocks`."""

    workspace_id = serializers.CharField(required=False, max_length=64)
    name = serializers.CharField(required=False, max_length=255)
    dsl = serializers.CharField(required=False, trim_whitespace=False)
    states = JsonObjectField(required=False)
    blocks = JsonField(required=False, schema=list_of("Block"))
    gates = JsonField(required=False, schema=list_of("Gate"))
    end_dependencies = serializers.ListField(child=serializers.CharField(), required=False)


class ExplanationShape(serializers.Serializer[Any]):
    explanation = serializers.CharField()
    method = serializers.ChoiceField(choices=[one.value for one in Method], help_text="Who explained it.")
    notes = serializers.ListField(child=serializers.CharField())


class ExplainBodyView(APIView):
    """A workflow that is not saved, in plain words."""

    throttle_classes = (LlmThrottle,)
    # What a language model may cost is reserved and booked in transactions of its own.
    commits_itself = True

    @extend_schema(
        summary="Explain a definition",
        tags=["workflows"],
        parameters=[ExplainBodyQuery],
        request=ExplainBody,
        responses=ExplanationShape,
        operation_id="workflows_explain_body",
    )
    def post(self, request: Request) -> Response:
        """Say in plain English what the workflow of this body does. Nothing is saved."""
        query = read_query(ExplainBodyQuery, request)
        body = read_body(ExplainBody, request)
        user, workspace = current_user(request), workspace_of(request, body=body)
        require(user, workspace, Action.TEMPLATE_READ)
        graph = {key: value for key, value in body.items() if key not in ("workspace_id", "name")}
        definition = read_template({"name": body.get("name", "Workflow"), **graph}).definition
        found = explain_definition(definition, workspace=workspace, user=user, method=_method(query))
        return _answer(found)


class ExplainView(APIView):
    """A saved workflow, in plain words."""

    throttle_classes = (LlmThrottle,)
    # What a language model may cost is reserved and booked in transactions of its own.
    commits_itself = True

    @extend_schema(
        summary="Explain a workflow",
        tags=["workflows"],
        parameters=[ExplainQuery],
        request=None,
        responses=ExplanationShape,
        operation_id="workflows_explain",
    )
    def post(self, request: Request, workflow_id: str) -> Response:
        """Say in plain English what the workflow does. It is named by its number, or by its template's id."""
        query = read_query(ExplainQuery, request)
        template = readable_workflow(request, workflow_id)
        user = current_user(request)
        definition = load_definition(get_version(template, query.get("version")).definition)
        found = explain_definition(
            definition,
            workspace=template.workspace,
            user=user,
            method=_method(query),
            template_id=template.public_id,
        )
        return _answer(found)


def _method(query: dict[str, Any]) -> Method:
    return Method(query.get("method", Method.AUTO))


def _answer(found: Explanation) -> Response:
    shape = {"explanation": found.text, "method": found.method.value, "notes": list(found.notes)}
    return Response(ExplanationShape(shape).data)

"""Workflows from plain words over HTTP: document B section 7.1, ``POST /workflows/translate``."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from templates_app.services.designing import Design, Method, design_workflow
from templates_app.services.generation import MAX_GOAL_LENGTH
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.accounts.throttles import LlmThrottle
from workflow_service.ai.english.story import tell
from workflow_service.ai.generation.preferences import Wishes
from workflow_service.api_serializers import (
    JsonObjectField,
    SnakeQuery,
    SnakeSerializer,
    read_body,
    read_query,
)
from workflow_service.engine.dsl import states_of
from workflow_service.workflows_api.states import one_line_dsl


class TranslateBody(SnakeSerializer):
    nl_description = serializers.CharField(
        max_length=MAX_GOAL_LENGTH, help_text="What the workflow does, in plain English."
    )
    context = JsonObjectField(  # type: ignore[assignment]
        required=False,
        help_text='What the description does not say, such as `{"domain": "file_processing"}`.',
    )
    workspace_id = serializers.CharField(required=False, max_length=64)
    method = serializers.ChoiceField(choices=[one.value for one in Method], required=False)


class Translation(serializers.Serializer[Any]):
    dsl = serializers.CharField()
    nl_explanation = serializers.CharField()
    suggested_improvements = serializers.ListField(child=serializers.CharField())
    method = serializers.ChoiceField(
        choices=[one.value for one in Method], help_text="Who read the description."
    )
    states = JsonObjectField(help_text="What each state does; goes with `dsl` when a workflow is made of it.")
    input_schema = JsonObjectField(allow_null=True)
    notes = serializers.ListField(child=serializers.CharField(), help_text="What was assumed.")


class TranslateView(APIView):
    """A workflow in the DSL, from words."""

    throttle_classes = (LlmThrottle,)
    # What a language model may cost is reserved and booked in transactions of its own.
    commits_itself = True

    @extend_schema(
        summary="Translate a description",
        tags=["workflows"],
        parameters=[SnakeQuery],
        request=TranslateBody,
        responses=Translation,
        operation_id="workflows_translate",
    )
    def post(self, request: Request) -> Response:
        """Say a description in plain English as a workflow in the DSL. Nothing is saved.

        The workflow is valid and was run dry on every branch. `method` says whether a language model or the rules
        read the description.
        """
        read_query(SnakeQuery, request)
        body = read_body(TranslateBody, request)
        user, workspace = current_user(request), workspace_of(request, body=body)
        require(user, workspace, Action.TEMPLATE_CREATE)
        design = design_workflow(
            body["nl_description"],
            workspace=workspace,
            user=user,
            wishes=Wishes(context=body.get("context") or {}),
            method=Method(body.get("method", Method.AUTO)),
            operation="nl_translation",
        )
        return Response(Translation(translation_document(design)).data)


def translation_document(design: Design) -> dict[str, Any]:
    """Return a design in document B's shape."""
    return {
        "dsl": one_line_dsl(design.definition),
        "nl_explanation": tell(design.definition),
        "suggested_improvements": list(design.improvements),
        "method": design.method.value,
        "states": states_of(design.definition),
        "input_schema": design.definition.input_schema,
        "notes": list(design.notes),
    }

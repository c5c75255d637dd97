"""Templates from plain words over HTTP: document A section 5.1, ``POST /templates/generate``."""

import json
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from templates_app.api.serializers import Issue, TemplateShape, issue_document, template_document
from templates_app.selectors import current_version, etag_of
from templates_app.services.designing import Method
from templates_app.services.generation import MAX_GOAL_LENGTH, Generated, generate_template
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.accounts.throttles import CreationThrottle, LlmThrottle
from workflow_service.ai.generation.preferences import ErrorHandling, Wishes
from workflow_service.api_serializers import CamelSerializer, QuerySerializer, read_body, read_query
from workflow_service.engine.definition import MAX_BLOCKS, MAX_RUN_TIMEOUT_MS
from workflow_service.idempotent_posts import idempotent_post


class Constraints(CamelSerializer):
    """What the template must keep to."""

    max_blocks = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=MAX_BLOCKS)
    timeout = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_RUN_TIMEOUT_MS,
        help_text="Of a run, in milliseconds.",
    )
    preferred_agents = serializers.ListField(
        child=serializers.CharField(max_length=100),
        required=False,
        max_length=50,
        help_text="The most wanted first.",
    )


class Preferences(CamelSerializer):
    """What the template should be like."""

    parallel_execution = serializers.BooleanField(required=False, allow_null=True)
    human_approval = serializers.BooleanField(required=False, allow_null=True)
    error_handling = serializers.ChoiceField(choices=[one.value for one in ErrorHandling], required=False)


class GenerateBody(CamelSerializer):
    goal = serializers.CharField(
        max_length=MAX_GOAL_LENGTH, help_text="What the workflow is to do, in plain English."
    )
    workspace_id = serializers.CharField(required=False, max_length=64)
    constraints = Constraints(required=False)
    preferences = Preferences(required=False)
    method = serializers.ChoiceField(
        choices=[one.value for one in Method],
        required=False,
        help_text="Who reads the goal: `llm`, `rules`, or `auto` (the model where there is one, else the rules).",
    )


class StageShape(CamelSerializer):
    name = serializers.CharField()
    detail = serializers.CharField()
    duration_ms = serializers.IntegerField()


class GeneratedTemplate(CamelSerializer):
    template_id = serializers.CharField()
    template = TemplateShape()
    method = serializers.ChoiceField(choices=[one.value for one in Method], help_text="Who read the goal.")
    steps = StageShape(many=True, help_text="What was done, in order.")
    notes = serializers.ListField(child=serializers.CharField())
    improvements = serializers.ListField(child=serializers.CharField())
    findings = Issue(many=True)


class GenerateView(APIView):
    """A template from a goal."""

    throttle_classes = (CreationThrottle, LlmThrottle)
    # What a language model may cost is reserved and booked in transactions of its own.
    commits_itself = True

    @extend_schema(
        summary="Generate a template",
        tags=["templates"],
        parameters=[QuerySerializer],
        request=GenerateBody,
        responses={201: GeneratedTemplate},
        operation_id="templates_generate",
    )
    def post(self, request: Request) -> Response:
        """Make a template from a goal in plain English, within constraints, and save it.

        `method` says whether a language model or the rules read the goal, `steps` what was done, `notes` what was
        assumed. Every block has work: an agent's, a language model's or a person's.
        """
        read_query(QuerySerializer, request)
        body = read_body(GenerateBody, request)
        workspace = workspace_of(request, body=body)
        user = current_user(request)
        require(user, workspace, Action.TEMPLATE_CREATE)
        post = idempotent_post(request)

        def confirm(made: Generated) -> None:
            if post is not None:
                answer = JSONRenderer().render(_answered(made))
                post.record(201, json.loads(answer), _headers(made))

        made = generate_template(
            workspace=workspace,
            actor=user,
            goal=body["goal"],
            wishes=wishes_of(body.get("constraints", {}), body.get("preferences", {})),
            method=Method(body.get("method", Method.AUTO)),
            confirm=confirm,
        )
        return Response(_answered(made), status=201, headers=_headers(made))


def wishes_of(constraints: dict[str, Any], preferences: dict[str, Any]) -> Wishes:
    """Return the checked constraints and preferences of a body as wishes."""
    return Wishes(
        max_blocks=constraints.get("max_blocks"),
        timeout_ms=constraints.get("timeout"),
        preferred_agents=tuple(dict.fromkeys(constraints.get("preferred_agents", ()))),
        parallel=preferences.get("parallel_execution"),
        human_approval=preferences.get("human_approval"),
        error_handling=ErrorHandling(preferences.get("error_handling", ErrorHandling.STANDARD)),
    )


def _headers(made: Generated) -> dict[str, str]:
    return {"ETag": etag_of(made.template), "Location": f"/api/v1/templates/{made.template.public_id}"}


def _answered(made: Generated) -> dict[str, Any]:
    template, design = made.template, made.design
    shown = {
        "template_id": template.public_id,
        "template": template_document(template, current_version(template)),
        "method": design.method.value,
        "steps": [
            {"name": stage.name, "detail": stage.detail, "duration_ms": stage.duration_ms}
            for stage in design.stages
        ],
        "notes": list(design.notes),
        "improvements": list(design.improvements),
        "findings": [issue_document(one) for one in design.findings],
    }
    return dict(GeneratedTemplate(shown).data)

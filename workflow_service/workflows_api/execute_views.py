"""Starting a workflow over HTTP: document B section 7.1, ``POST /workflows/{id}/execute``."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions_app.api.serializers import STATUSES_OF_B
from executions_app.api.views import IDEMPOTENCY_KEY, body_digest, idempotency_key
from executions_app.models import Execution
from executions_app.selectors import events_after
from executions_app.services.executions import start_execution
from templates_app.models import Template
from templates_app.plans import compiled_version
from templates_app.selectors import get_version
from templates_app.sharing import require_on
from workflow_service.accounts.api.requests import current_user
from workflow_service.accounts.policies import Action
from workflow_service.accounts.throttles import ExecutionThrottle
from workflow_service.api_serializers import (
    JsonField,
    SnakeQuery,
    SnakeSerializer,
    read_body,
    read_query,
)
from workflow_service.engine.definition import MAX_RUN_TIMEOUT_MS, JsonObject
from workflow_service.engine.states import Priority
from workflow_service.idempotent_posts import REPLAYED
from workflow_service.workflows_api.examples import EXECUTE_EXAMPLE
from workflow_service.workflows_api.requests import readable_workflow


class ExecutionOptions(SnakeSerializer):
    enable_ai_decisions = serializers.BooleanField(
        required=False,
        help_text="false: no language model is asked; questions are answered by what the workflow says for that.",
    )
    enable_auto_recovery = serializers.BooleanField(
        required=False,
        help_text="true: ask a person about every state that fails for good; false: retries and no more.",
    )
    timeout_seconds = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_RUN_TIMEOUT_MS // 1_000,
        help_text="Active time that the run may take.",
    )
    priority = serializers.ChoiceField(
        choices=[one.value for one in Priority], required=False, help_text="Not given: normal."
    )


class ExecuteBody(SnakeSerializer):
    initial_context = JsonField(
        required=False,
        schema={"type": "object", "additionalProperties": True},
        help_text="What the run works on; checked against the workflow's input_schema.",
    )
    execution_options = ExecutionOptions(required=False)
    version = serializers.CharField(
        required=False, max_length=32, help_text="A number or a label; not given: the current version."
    )


class ExecutingShape(serializers.Serializer[Any]):
    execution_id = serializers.CharField()
    workflow_id = serializers.IntegerField()
    status = serializers.ChoiceField(
        choices=STATUSES_OF_B, help_text="running; pending where it waits for others to end."
    )
    current_state = serializers.CharField()
    start_time = serializers.DateTimeField()
    websocket_url = serializers.CharField(help_text="Where the run can be followed.")


class ExecuteView(APIView):
    """A run of a workflow."""

    idempotent_by_itself = True
    throttle_classes = (ExecutionThrottle,)

    @extend_schema(
        summary="Execute a workflow",
        tags=["workflows"],
        parameters=[SnakeQuery, IDEMPOTENCY_KEY],
        request=ExecuteBody,
        examples=[EXECUTE_EXAMPLE],
        responses=ExecutingShape,
        operation_id="workflows_execute",
    )
    def post(self, request: Request, workflow_id: str) -> Response:
        """Start a run of an active workflow. The answer comes as soon as the run is written down."""
        read_query(SnakeQuery, request)
        body = read_body(ExecuteBody, request)
        template = readable_workflow(request, workflow_id)
        user = current_user(request)
        require_on(template, user, Action.EXECUTION_START)
        started = start_execution(
            workspace=template.workspace,
            actor=user,
            template=template,
            version=get_version(template, body["version"]) if "version" in body else None,
            input=body.get("initial_context", {}),
            options=_options(body.get("execution_options", {})),
            idempotency_key=idempotency_key(request),
            # The address says what is started: the same body sent to another workflow is another request.
            body_sha256=body_digest({"workflow": template.public_id, "body": request.data}),
            door=Template.Door.B,
            input_pointer="/initial_context",
        )
        shape = ExecutingShape(_started(request, started.execution)).data
        return Response(shape, headers={} if started.created else {REPLAYED: "true"})


def _options(given: Mapping[str, Any]) -> JsonObject:
    """Return the options under the names that runs know them by."""
    options: JsonObject = {
        key: given[name]
        for name, key in (
            ("enable_ai_decisions", "enableAiDecisions"),
            ("enable_auto_recovery", "enableAutoRecovery"),
            ("priority", "priority"),
        )
        if name in given
    }
    if "timeout_seconds" in given:
        options["timeout"] = given["timeout_seconds"] * 1_000
    return options


def _started(request: Request, execution: Execution) -> dict[str, Any]:
    """Return how the run began, so that a repeated key gets the first answer again."""
    plan = compiled_version(execution.version_id).plan
    address = request.build_absolute_uri(f"/ws/executions/{execution.public_id}")
    return {
        "execution_id": execution.public_id,
        "workflow_id": execution.template_id,
        "status": "pending" if events_after(execution, 0, 1, ["execution_queued"]) else "running",
        "current_state": plan.nodes[plan.roots[0]].id,
        "start_time": execution.started_at,
        "websocket_url": address.replace("http", "ws", 1),
    }

"""What runs wait for, over HTTP: signals of whoever may send them, and callbacks of agents."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from pydantic import JsonValue
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions_app.api.views import IDEMPOTENCY_KEY, body_digest, idempotency_key
from executions_app.models import Execution
from executions_app.selectors import get_execution
from executions_app.services.callbacks import CallbackAnswer, take_callback
from executions_app.services.signals import send_signal
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.accounts.throttles import CallbackThrottle
from workflow_service.api_serializers import (
    CamelSerializer,
    JsonField,
    JsonObjectField,
    QuerySerializer,
    read_body,
    read_query,
)
from workflow_service.engine.states import ErrorType
from workflow_service.idempotent_posts import REPLAYED


class SignalBody(CamelSerializer):
    payload = JsonField(
        required=False, allow_null=True, help_text="Any JSON, at most 256 KiB. Not given: null."
    )


class SignalTaken(CamelSerializer):
    signal_id = serializers.CharField()
    delivered = serializers.BooleanField(
        help_text="Whether a block waited for it already. If not, it is kept for the next one that does."
    )


UNEXPLAINED: dict[str, JsonValue] = {
    "type": ErrorType.SYSTEM_ERROR,
    "message": "the agent says no reason",
    "details": {},
    "retryable": False,
}


class CallbackError(CamelSerializer):
    type = serializers.ChoiceField(choices=[one.value for one in ErrorType], required=False)
    message = serializers.CharField(max_length=2_000, required=False)
    details = JsonObjectField(required=False)
    retryable = serializers.BooleanField(required=False)


class CallbackBody(CamelSerializer):
    status = serializers.ChoiceField(choices=["completed", "failed"])
    output = JsonField(
        required=False, allow_null=True, help_text="The block's output, where it is completed."
    )
    error = CallbackError(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse an output of failed work and an error of completed work: one of them is a slip."""
        unfit = "output" if attrs["status"] == "failed" else "error"
        if unfit in attrs:
            raise serializers.ValidationError({unfit: f"does not go with status '{attrs['status']}'"})
        return attrs


class CallbackTaken(CamelSerializer):
    delivered = serializers.BooleanField(
        help_text="Whether the block waited already. If not, the answer is kept until it does, in a moment."
    )


class CallbackView(APIView):
    """Where agents say how their work ended."""

    commits_itself = True

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (CallbackThrottle,)

    @extend_schema(
        summary="Call back about work that was accepted",
        operation_id="callbacks_create",
        tags=["executions"],
        auth=[],
        request=CallbackBody,
        examples=[
            OpenApiExample("Done", value={"status": "completed", "output": {"pages": 12}}, request_only=True),
            OpenApiExample(
                "Failed",
                value={"status": "failed", "error": {"type": "VALIDATION_ERROR", "message": "no pages"}},
                request_only=True,
            ),
        ],
        responses={202: CallbackTaken},
    )
    def post(self, request: Request, token: str) -> Response:
        """Say how work ended that was answered with 202.

        The address is the one that came with the request, in `Workflow-Callback-Url`; it is the right to use it, once.
        """
        body = read_body(CallbackBody, request)
        if body["status"] == "failed":
            answer = CallbackAnswer(error=UNEXPLAINED | body.get("error", {}))
        else:
            answer = CallbackAnswer(output=body.get("output"))
        return Response(CallbackTaken({"delivered": take_callback(token, answer)}).data, status=202)


class SignalView(APIView):
    """The signals of a run."""

    idempotent_by_itself = True

    @extend_schema(
        summary="Send a signal to an execution",
        operation_id="executions_signals_create",
        tags=["executions"],
        parameters=[QuerySerializer, IDEMPOTENCY_KEY],
        request=SignalBody,
        examples=[OpenApiExample("Paid", value={"payload": {"amount": 99.5}}, request_only=True)],
        responses={202: SignalTaken},
    )
    def post(self, request: Request, execution_id: str, name: str) -> Response:
        """Tell a run that something has happened.

        One `WAIT` block that waits for a signal of this name goes on, with the payload as its output. A signal that
        nobody waits for yet is kept; each wait takes the oldest.
        """
        read_query(QuerySerializer, request)
        body = read_body(SignalBody, request)
        user = current_user(request)
        workspace = workspace_of(request, holding=Execution.objects.filter(public_id=execution_id))
        require(user, workspace, Action.EXECUTION_READ)
        execution = get_execution(workspace, execution_id)
        require(user, workspace, Action.EXECUTION_SIGNAL, owner_id=execution.created_by_id)
        sent = send_signal(
            execution=execution,
            name=name,
            payload=body.get("payload"),
            actor=user,
            idempotency_key=idempotency_key(request),
            body_sha256=body_digest(request.data),
        )
        headers = {REPLAYED: "true"} if sent.repeated else {}
        return Response(SignalTaken(sent).data, status=202, headers=headers)

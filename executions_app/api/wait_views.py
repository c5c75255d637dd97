"""What runs wait for, over HTTP: signals."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions_app.api.views import IDEMPOTENCY_KEY, body_digest, idempotency_key
from executions_app.models import Execution
from executions_app.selectors import get_execution
from executions_app.services.signals import send_signal
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.api_serializers import (
    CamelSerializer,
    JsonField,
    QuerySerializer,
    read_body,
    read_query,
)


class SignalBody(CamelSerializer):
    payload = JsonField(
        required=False, allow_null=True, help_text="Any JSON, at most 256 KiB. Not given: null."
    )


class SignalTaken(CamelSerializer):
    signal_id = serializers.CharField()
    delivered = serializers.BooleanField(
        help_text="Whether a block waited for it already. If not, it is kept for the next one that does."
    )


class SignalView(APIView):
    """The signals of a run."""

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
            idempotency_key=idempotency_key(request),
            body_sha256=body_digest(request.data),
        )
        return Response(SignalTaken(sent).data, status=202)

"""Executions over HTTP: document A section 5.2, and document B's view of one."""

import hashlib
import json
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions_app.api.documents import (
    CURRENT,
    NEXT,
    execution_document,
    execution_entry,
    read_run,
    start_document,
    workflow_execution_document,
)
from executions_app.api.requests import readable_execution, wait_until
from executions_app.api.serializers import (
    ExecutionList,
    ExecutionListQuery,
    ExecutionQuery,
    ExecutionShape,
    StartBody,
    StartedShape,
    StartOptions,
    StartQuery,
    WorkflowExecutionShape,
)
from executions_app.models import Execution
from executions_app.selectors import get_execution, list_executions
from executions_app.services.executions import StartedExecution, start_execution
from templates_app.models import Template
from templates_app.plans import compiled_version
from templates_app.selectors import get_template, get_version
from templates_app.sharing import require_on
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.idempotency import KEY
from workflow_service.accounts.policies import Action, require
from workflow_service.accounts.throttles import ExecutionThrottle
from workflow_service.api_serializers import HeaderInvalid, page_of, read_body, read_query
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ExecutionStatus
from workflow_service.idempotent_posts import REPLAYED

TAGS = ["executions"]
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Up to 255 printable characters. The same key and body start one run and get the same answer.",
)
START_EXAMPLE = OpenApiExample(
    "Start",
    value={
        "templateId": "tpl_12345",
        "input": {"who": "Ada"},
        "options": {"priority": "high", "notifications": {"onComplete": True, "channels": ["email"]}},
    },
    request_only=True,
)


class ExecutionsView(APIView):
    """The executions of a workspace."""

    idempotent_by_itself = True

    throttle_classes = (ExecutionThrottle,)

    @extend_schema(
        summary="List executions",
        operation_id="executions_list",
        tags=TAGS,
        parameters=[ExecutionListQuery],
        responses=ExecutionList,
    )
    def get(self, request: Request) -> Response:
        """List the workspace's executions, newest first."""
        query = read_query(ExecutionListQuery, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.EXECUTION_READ)
        rows = list_executions(workspace, status=query.get("status"), template_id=query.get("template_id"))
        page = page_of("executions", rows, query, lambda some: [execution_entry(one) for one in some])
        return Response(ExecutionList(page).data)

    @extend_schema(
        summary="Start an execution",
        tags=TAGS,
        parameters=[StartQuery, IDEMPOTENCY_KEY],
        request=StartBody,
        examples=[START_EXAMPLE],
        responses={202: StartedShape},
    )
    def post(self, request: Request) -> Response:
        """Start a run of an active template.

        The answer comes as soon as the run is written down; `wait` holds it back until the run has ended or
        stopped for a person, 30 s at most.
        """
        query, body = read_query(StartQuery, request), read_body(StartBody, request)
        user = current_user(request)
        holding = Template.objects.filter(public_id=body["template_id"])
        workspace = workspace_of(request, body=body, holding=holding)
        template = get_template(workspace, body["template_id"])
        require_on(template, user, Action.EXECUTION_START)
        started = start_execution(
            workspace=workspace,
            actor=user,
            template=template,
            version=get_version(template, body["version"]) if "version" in body else None,
            input=body.get("input", {}),
            options=StartOptions(body.get("options", {})).data,
            idempotency_key=idempotency_key(request),
            body_sha256=body_digest(request.data),
        )
        shape = _started(workspace, started, query["wait"])
        headers = {"Location": f"/api/v1/executions/{shape['execution_id']}"}
        if not started.created:
            headers[REPLAYED] = "true"
        return Response(StartedShape(shape).data, status=202, headers=headers)


class ExecutionView(APIView):
    """One execution."""

    @extend_schema(
        summary="Read an execution",
        tags=TAGS,
        parameters=[ExecutionQuery],
        responses=PolymorphicProxySerializer(
            component_name="AnyExecution",
            serializers=[ExecutionShape, WorkflowExecutionShape],
            resource_type_field_name=None,
        ),
    )
    def get(self, request: Request, execution_id: str) -> Response:
        """Give the whole state of a run: its blocks with inputs and outputs, its context, its progress."""
        query = read_query(ExecutionQuery, request)
        facts = read_run(readable_execution(request, execution_id), timezone.now())
        if query.get("view", facts.execution.door) == Template.Door.B:
            return Response(WorkflowExecutionShape(workflow_execution_document(facts)).data)
        return Response(ExecutionShape(execution_document(facts)).data)


def _started(workspace: Any, started: StartedExecution, wait_s: float) -> dict[str, Any]:
    """Return the answer to a start.

    Without waiting it says how the run began, so that a repeated key gets the first answer again.
    """
    execution = get_execution(workspace, started.execution.public_id)
    if wait_s > 0:
        execution = _wait(execution, wait_s)
        facts = read_run(execution, timezone.now())
        return start_document(execution, current=facts.blocks_in(CURRENT), following=facts.blocks_in(NEXT))
    plan = compiled_version(execution.version_id).plan
    execution.status, execution.completed_at = "STARTING", None
    return start_document(execution, current=(), following=[plan.nodes[root].id for root in plan.roots])


def _wait(execution: Execution, wait_s: float) -> Execution:
    """Return the execution once it has ended or waits for a person, or as it is after ``wait_s`` seconds."""

    def is_quiet() -> bool:
        execution.refresh_from_db(fields=["status", "waiting_for_people", "completed_at"])
        waits = execution.status == ExecutionStatus.WAITING_FOR_APPROVAL or execution.waiting_for_people > 0
        return waits or execution.status in ENDED_EXECUTION_STATUSES

    wait_until(is_quiet, wait_s)
    return execution


def idempotency_key(request: Request) -> str | None:
    """Return the request's ``Idempotency-Key``; raises ``HeaderInvalid``."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not KEY.fullmatch(key):
        raise HeaderInvalid("Idempotency-Key must be 1 to 255 printable characters without spaces")
    return key


def body_digest(body: object) -> str:
    """Return what tells one body from another, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

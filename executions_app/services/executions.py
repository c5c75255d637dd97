"""Starting executions."""

from dataclasses import dataclass

from django.db import connection
from django.utils import timezone
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import JsonValue

from executions_app.dispatch import send_aftermath
from executions_app.errors import IdempotencyConflict, InputRejected, TemplateNotRunnable
from executions_app.finishing import conclude_locked
from executions_app.models import Execution, ExecutionInput, StartRequest
from executions_app.run_state import lock_run
from executions_app.settlement import Settler
from executions_app.transaction import command_transaction
from templates_app.models import Template, TemplateVersion
from templates_app.plans import CompiledVersion, compiled_version
from workflow_service.accounts.models import User, Workspace
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import InvalidDefinition, Problem
from workflow_service.engine.json_values import json_pointer
from workflow_service.engine.plan import NodeKind, unsupported_features
from workflow_service.engine.states import Priority, TemplateStatus

MAX_PROBLEMS = 50


@dataclass(frozen=True, slots=True)
class StartedExecution:
    """A started execution; ``created`` is False where the same Idempotency-Key had started it before."""

    execution: Execution
    created: bool


def start_execution(
    *,
    workspace: Workspace,
    actor: User,
    template: Template,
    input: JsonObject,
    options: JsonObject | None = None,
    version: TemplateVersion | None = None,
    idempotency_key: str | None = None,
    body_sha256: str = "",
    door: str = Template.Door.A,
) -> StartedExecution:
    """Start a run of a template's version (the current one where none is given).

    Exactly once for an ``idempotency_key``: the key is inserted with the execution. Raises
    ``TemplateNotRunnable``, ``InputRejected``, ``IdempotencyConflict``.
    """
    standing = _standing_start(workspace, idempotency_key, body_sha256)
    if standing is not None:
        return StartedExecution(standing, created=False)
    version = version or template.current_version
    compiled = _runnable(template, version)
    assert version is not None  # noqa: S101 - _runnable raises otherwise
    check_input(compiled.definition.input_schema, input)
    options = options or {}
    with command_transaction() as tx:
        execution = Execution.objects.create(
            workspace=workspace,
            template=template,
            version=version,
            priority=_priority(options),
            door=door,
            created_by=actor,
            started_at=timezone.now(),
            total_blocks=sum(node.kind is NodeKind.BLOCK for node in compiled.plan.nodes),
        )
        if idempotency_key and not _claim_key(workspace, idempotency_key, body_sha256, execution):
            connection.set_rollback(True)
            aftermath = None
        else:
            ExecutionInput.objects.create(execution=execution, input=input, options=options)
            run = lock_run(tx, execution.pk)
            assert run is not None  # noqa: S101 - inserted above
            settler = Settler(tx, run, compiled)
            settler.journal.event(
                "execution_started", data={"templateId": template.public_id, "version": version.label}
            )
            settler.begin()
            aftermath = conclude_locked(settler)
    if aftermath is None:
        # Another request with this key was first; its answer is there now.
        again = _standing_start(workspace, idempotency_key, body_sha256)
        assert again is not None  # noqa: S101 - the conflicting row is committed
        return StartedExecution(again, created=False)
    send_aftermath(aftermath, execution.pk)
    return StartedExecution(execution, created=True)


def check_input(schema: JsonObject | None, input: JsonValue) -> None:
    """Check an input against a template's schema; raises ``InputRejected`` naming every place."""
    if not isinstance(input, dict):
        raise InputRejected(
            f"input must be an object, not {type(input).__name__}",
            [
                Problem(
                    "INPUT_REJECTED",
                    "must be a JSON object",
                    pointer="/input",
                    suggestion='send {"input": {…}}',
                )
            ],
        )
    if schema is None:
        return
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise TemplateNotRunnable(f"the template's inputSchema is no JSON Schema: {error.message}") from error
    found = sorted(
        Draft202012Validator(schema).iter_errors(input), key=lambda error: list(map(str, error.path))
    )
    problems = [
        Problem("INPUT_REJECTED", error.message, pointer="/input" + json_pointer(*error.path))
        for error in found[:MAX_PROBLEMS]
    ]
    if problems:
        raise InputRejected("the input does not fit the template's inputSchema", problems)


def _runnable(template: Template, version: TemplateVersion | None) -> CompiledVersion:
    if template.status == TemplateStatus.ARCHIVED:
        raise TemplateNotRunnable(
            "the template is archived", [Problem("TEMPLATE_ARCHIVED", "the template is archived")]
        )
    if version is None:
        raise TemplateNotRunnable("the template has no version")
    if template.status == TemplateStatus.DRAFT:
        raise TemplateNotRunnable(
            "the template is a draft",
            [
                Problem(
                    "TEMPLATE_DRAFT",
                    "the template is a draft",
                    suggestion="mend what POST /api/v1/templates/{id}/validate reports, then publish it",
                )
            ],
        )
    try:
        compiled = compiled_version(version.pk)
    except InvalidDefinition as error:
        raise TemplateNotRunnable("the template has errors", error.problems) from error
    unsupported = unsupported_features(compiled.plan)
    if unsupported:
        raise TemplateNotRunnable("the template uses what this version cannot run yet", unsupported)
    return compiled


def _priority(options: JsonObject) -> Priority:
    try:
        return Priority(str(options.get("priority", Priority.NORMAL)))
    except ValueError as error:
        raise InputRejected(
            "options.priority is unknown",
            [
                Problem(
                    "UNKNOWN_PRIORITY",
                    f"'{options['priority']}' is no priority",
                    pointer="/options/priority",
                    suggestion="use high, normal or low",
                )
            ],
        ) from error


def _standing_start(workspace: Workspace, key: str | None, body_sha256: str) -> Execution | None:
    if not key:
        return None
    standing = StartRequest.objects.filter(workspace=workspace, key=key).select_related("execution").first()
    if standing is None:
        return None
    if standing.body_sha256 != body_sha256:
        raise IdempotencyConflict(f"the Idempotency-Key '{key}' was used with another body")
    return standing.execution


def _claim_key(workspace: Workspace, key: str, body_sha256: str, execution: Execution) -> bool:
    """Insert the key; False where a concurrent request has it (the statement waits for that one to commit)."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO executions_app_startrequest (workspace_id, key, body_sha256, execution_id, created_at)
            VALUES (%s, %s, %s, %s, clock_timestamp()) ON CONFLICT DO NOTHING
            """,
            [workspace.pk, key, body_sha256, execution.pk],
        )
        return bool(cursor.rowcount == 1)

"""Starting executions."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from executions_app import log_lines
from executions_app.admission import begin_or_hold_back
from executions_app.aftermath import follow_up
from executions_app.errors import InputRejected, TemplateNotRunnable
from executions_app.finishing import Aftermath, conclude_and_commit
from executions_app.models import Execution, StartRequest
from executions_app.new_runs import NewRun, insert_run
from executions_app.run_state import RunState
from executions_app.settlement import Settler
from executions_app.transaction import EngineTransaction, pipelined_transaction
from executions_app.version_choice import StartFacts, VersionChoice, choose_version
from executions_app.workspace_context import workspace_context
from templates_app.models import Template, TemplateVersion
from templates_app.plans import CompiledVersion, compiled_version
from templates_app.services.subworkflows import subworkflow_findings
from workflow_service.accounts.idempotency import IdempotencyConflict
from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.recording import statement_by
from workflow_service.engine.definition import MAX_RUN_TIMEOUT_MS, JsonObject
from workflow_service.engine.errors import InvalidDefinition, Problem
from workflow_service.engine.findings import errors_in
from workflow_service.engine.json_values import json_pointer
from workflow_service.engine.plan import unsupported_features
from workflow_service.engine.states import ExecutionStatus, Priority, TemplateStatus
from workflow_service.json_schemas import SchemaUnusable, misfits

logger = logging.getLogger(__name__)

MAX_PROBLEMS = 50

CLAIM_KEY = """
    INSERT INTO executions_app_startrequest (workspace_id, key, body_sha256, execution_id, created_at)
    VALUES (%s, %s, %s, %s, clock_timestamp()) ON CONFLICT DO NOTHING RETURNING id
"""


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
    input_pointer: str = "/input",
) -> StartedExecution:
    """Start a run of a template's version; where none is given, of the one chosen for it or the current one.

    Exactly once for an ``idempotency_key``: the key is inserted with the execution. Raises
    ``TemplateNotRunnable``, ``InputRejected``, ``IdempotencyConflict``.
    """
    standing = _standing_start(workspace, idempotency_key, body_sha256)
    if standing is not None:
        return StartedExecution(standing, created=False)
    version, compiled, choice = version_to_run(StartFacts(template, actor, input), version)
    check_input(compiled.definition.input_schema, input, input_pointer)
    options = options or {}
    given = NewRun(
        template, version, actor, input, options, _priority(options), _timeout_ms(options, compiled), door
    )
    context = workspace_context(workspace)
    committed: Callable[[], Aftermath] | None = None
    with pipelined_transaction() as tx:
        execution, run = insert_run(tx, given)
        if not idempotency_key or _claim_key(tx, workspace, idempotency_key, body_sha256, execution):
            if choice:
                choice.record(tx, execution)
            data = choice.event_data if choice else None
            settler = begin_run(tx, execution, run, compiled, data, context)
            told = {
                "template": template.public_id,
                "version": version.label,
                "definition": version.definition_sha256,
            }
            tx.run(
                *statement_by(actor, "execution.start", workspace, "execution", execution.public_id, **told)
            )
            committed = conclude_and_commit(settler)
    if committed is None:
        # Another request with this key was first; its answer is there now.
        again = _standing_start(workspace, idempotency_key, body_sha256)
        assert again is not None  # noqa: S101 - the conflicting row is committed
        return StartedExecution(again, created=False)
    follow_up(committed(), execution.pk)
    return StartedExecution(execution, created=True)


def begin_run(
    tx: EngineTransaction,
    execution: Execution,
    run: RunState,
    compiled: CompiledVersion,
    data: Mapping[str, JsonValue] | None = None,
    context: Mapping[str, JsonValue] | None = None,
) -> Settler:
    """Begin a run that the transaction has inserted; ``data`` is further data of its first event.

    ``context`` is what its context begins with. The caller concludes it.
    """
    settler = Settler(tx, run, compiled)
    settler.journal.event(
        "execution_started",
        data={
            "templateId": execution.template.public_id,
            "version": execution.version.label,
            **(data or {}),
        },
    )
    settler.begin_context(context or {})
    log_lines.execution_started(settler.journal, run, execution.template.public_id)
    if run.status is ExecutionStatus.PAUSED:
        settler.journal.event("execution_paused", data={"reason": "the run that it is a part of is paused"})
    begin_or_hold_back(tx, run, settler)
    return settler


def check_input(schema: JsonObject | None, input: JsonValue, pointer: str = "/input") -> None:
    """Check an input against a template's schema; raises ``InputRejected`` naming every place.

    ``pointer`` is where the input stands in what the caller sent.
    """
    if not isinstance(input, dict):
        raise InputRejected(
            f"input must be an object, not {type(input).__name__}",
            [
                Problem(
                    "INPUT_REJECTED",
                    "must be a JSON object",
                    pointer=pointer,
                    suggestion=f'send {{"{pointer[1:]}": {{…}}}}',
                )
            ],
        )
    if schema is None:
        return
    try:
        found = misfits(schema, input, MAX_PROBLEMS)
    except SchemaUnusable as error:
        raise TemplateNotRunnable(f"the template's inputSchema cannot be used: {error.message}") from error
    problems = [
        Problem("INPUT_REJECTED", error.message, pointer=pointer + json_pointer(*error.path))
        for error in sorted(found, key=lambda error: list(map(str, error.path)))
    ]
    if problems:
        raise InputRejected("the input does not fit the template's inputSchema", problems)


def version_to_run(
    facts: StartFacts, version: TemplateVersion | None
) -> tuple[TemplateVersion, CompiledVersion, VersionChoice | None]:
    """Return the version that a start runs, its plan, and the choice that was made where it names none.

    A chosen version that cannot run any more keeps nobody from starting: the current one runs, and no choice was made.
    Raises ``TemplateNotRunnable``.
    """
    choice = choose_version(facts) if version is None else None
    if choice is not None:
        try:
            return (*runnable_version(facts.template, choice.version), choice)
        except TemplateNotRunnable as error:
            label, template = choice.version.label, facts.template.public_id
            logger.warning("version %s of %s was chosen and cannot run: %s", label, template, error.message)
    return (*runnable_version(facts.template, version), None)


def runnable_version(
    template: Template, version: TemplateVersion | None = None
) -> tuple[TemplateVersion, CompiledVersion]:
    """Return the version that a start would run, the current one where none is given, and its plan.

    Raises ``TemplateNotRunnable``.
    """
    version = version or template.current_version
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
    unknown = errors_in(subworkflow_findings(compiled.definition, template.workspace, template))
    if unknown:
        raise TemplateNotRunnable("the template starts others that cannot be started", unknown)
    return version, compiled


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


def _timeout_ms(options: JsonObject, compiled: CompiledVersion) -> int | None:
    """Return the run's timeout in milliseconds: the start's, else the template's; None: it has none."""
    given = options.get("timeout")
    if given is None:
        return compiled.definition.global_settings.timeout
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MAX_RUN_TIMEOUT_MS:
        raise InputRejected(
            "options.timeout does not fit",
            [
                Problem(
                    "INVALID_TIMEOUT",
                    f"must be a whole number of milliseconds from 1 to {MAX_RUN_TIMEOUT_MS}",
                    pointer="/options/timeout",
                    suggestion="3600000 is an hour of active time",
                )
            ],
        )
    return given


def _standing_start(workspace: Workspace, key: str | None, body_sha256: str) -> Execution | None:
    if not key:
        return None
    standing = StartRequest.objects.filter(workspace=workspace, key=key).select_related("execution").first()
    if standing is None:
        return None
    if standing.body_sha256 != body_sha256:
        raise IdempotencyConflict(f"the Idempotency-Key '{key}' was used for another request; send a new key")
    return standing.execution


def _claim_key(
    tx: EngineTransaction, workspace: Workspace, key: str, body_sha256: str, execution: Execution
) -> bool:
    """Insert the key; False where a concurrent request has it (the statement waits for that one to commit)."""
    return tx.run(CLAIM_KEY, (workspace.pk, key, body_sha256, execution.pk)).fetchone() is not None

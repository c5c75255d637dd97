"""The rows of a run that is about to begin, inserted in one statement; until its commit nobody else sees them."""

from dataclasses import dataclass

from psycopg.types.json import Jsonb

from executions_app.models import Execution, new_execution_id
from executions_app.run_state import COLUMNS, RunState
from executions_app.transaction import EngineTransaction
from templates_app.models import Template, TemplateVersion
from templates_app.plans import compiled_version
from workflow_service.accounts.models import User
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.plan import NodeKind
from workflow_service.engine.states import ExecutionStatus

INSERT_RUN = f"""
    WITH run AS (
        INSERT INTO executions_app_execution (
            event_seq, context_seq, active, slots, ready, waiting_for_people, completed_blocks, failed_blocks,
            skipped_blocks, failing, compensating, unhandled_failures, reached_end, active_ms, held_back, generation,
            started_at, public_id, workspace_id, template_id, version_id, created_by_id, status, priority, door,
            timeout_ms, total_blocks, parent_id, parent_block_execution_id, depth)
        VALUES (0, 0, 0, 0, 0, 0, 0, 0, 0, false, false, 0, false, 0, false, 1, clock_timestamp(),
            %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        RETURNING *
    ), given AS (
        INSERT INTO executions_app_executioninput (execution_id, input, options) SELECT id, %s, %s FROM run
    )
    SELECT {COLUMNS} FROM run e
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a run is made of; everything in it has been checked."""

    template: Template
    version: TemplateVersion
    actor: User
    input: JsonObject
    options: JsonObject
    priority: str
    timeout_ms: int | None
    door: str


@dataclass(frozen=True, slots=True)
class Parentage:
    """The run and the block in it that a new run works for."""

    execution: Execution
    block_execution_id: int


def insert_run(
    tx: EngineTransaction,
    given: NewRun,
    *,
    public_id: str | None = None,
    parentage: Parentage | None = None,
    status: ExecutionStatus = ExecutionStatus.STARTING,
) -> tuple[Execution, RunState]:
    """Insert a run that is yet to begin; it is locked by being new."""
    workspace, template, version = given.template.workspace, given.template, given.version
    blocks = sum(node.kind is NodeKind.BLOCK for node in compiled_version(version.pk).plan.nodes)
    execution = Execution(
        public_id=public_id or new_execution_id(),
        workspace=workspace,
        template=template,
        version=version,
        status=status,
        priority=given.priority,
        door=given.door,
        timeout_ms=given.timeout_ms,
        created_by=given.actor,
        total_blocks=blocks,
        parent=parentage.execution if parentage else None,
        parent_block_execution_id=parentage.block_execution_id if parentage else None,
        depth=parentage.execution.depth + 1 if parentage else 0,
    )
    row = tx.one(
        INSERT_RUN,
        (
            execution.public_id, workspace.pk, template.pk, version.pk, given.actor.pk, status, given.priority,
            given.door, given.timeout_ms, blocks, execution.parent_id, execution.parent_block_execution_id,
            execution.depth, Jsonb(given.input), Jsonb(given.options),
        ),
    )  # fmt: skip
    run = RunState(*row)
    execution.pk, execution.started_at = run.id, run.started_at
    execution._state.adding = False
    execution._state.db = "default"
    return execution, run

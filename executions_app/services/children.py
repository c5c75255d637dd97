"""Sub-workflows: runs that a block of another run starts and waits for.

The child is inserted in the transaction that parks the block, under the parent's lock: there is never a block that
waits for a child that does not exist, nor two children of one wait. Its end finishes the block's row
(``results.report_to_parent``, ``child_ends``); what a crash left out the sweeper makes good.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import connection

from executions_app.aftermath import follow_up
from executions_app.child_ends import end_waiting_block
from executions_app.errors import InputRejected, TemplateNotRunnable
from executions_app.finishing import Aftermath, any_unsettled, conclude_locked
from executions_app.handlers import BlockWork, Park
from executions_app.models import BlockExecution, Execution, ExecutionInput, new_execution_id
from executions_app.new_runs import NewRun, Parentage, insert_run
from executions_app.run_state import lock_run
from executions_app.services.executions import begin_run, check_input, version_to_run
from executions_app.settlement import Settler
from executions_app.transaction import command_transaction
from executions_app.version_choice import StartFacts, VersionChoice
from templates_app.errors import TemplateNotFound, VersionNotFound
from templates_app.plans import CompiledVersion, compiled_version
from templates_app.selectors import get_template, get_version
from workflow_service.agents.configuration import read_configuration
from workflow_service.agents.errors import ToolError
from workflow_service.agents.waits import SubworkflowConfiguration
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ErrorType, ExecutionStatus

MAX_DEPTH = 10
INHERITED_OPTIONS = ("enableAiDecisions",)
WAITS_FOR = BlockExecution.WaitsFor.CHILD

# Only the worker that holds the block may let go of a child that failed, to start another.
DETACH_FAILED = """
    UPDATE executions_app_execution SET parent_block_execution_id = NULL
    WHERE parent_block_execution_id = %s AND status IN ('FAILED', 'CANCELLED') AND EXISTS (
        SELECT 1 FROM executions_app_blockexecution WHERE id = %s AND status = 'RUNNING' AND fence = %s)
"""
UNREPORTED = """
    SELECT e.id FROM executions_app_blockexecution b JOIN executions_app_execution e ON e.public_id = b.wait_key
    WHERE b.status = 'WAITING' AND b.waits_for = 'child'
        AND e.parent_block_execution_id = b.id AND e.status IN ('COMPLETED', 'FAILED', 'CANCELLED')
    ORDER BY e.completed_at, e.id LIMIT 200
"""
# One that was last restarted on its own, not with its parent, after that had ended goes on: somebody wanted that.
UNWANTED = """
    SELECT c.id FROM executions_app_execution c
    JOIN executions_app_blockexecution b ON b.id = c.parent_block_execution_id
    JOIN executions_app_execution p ON p.id = c.parent_id
    WHERE c.parent_id IS NOT NULL AND c.status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')
        AND (b.superseded OR b.status IN ('COMPLETED', 'FAILED', 'REJECTED', 'SKIPPED', 'CANCELLED'))
        AND NOT c.failing AND (p.status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED') OR coalesce((
            SELECT v.data ? 'underParent' FROM executions_app_executionevent v
            WHERE v.execution_id = c.id AND v.type = 'execution_restarted' ORDER BY v.seq DESC LIMIT 1), true))
    ORDER BY c.id LIMIT 200
"""


def begin_child(work: BlockWork) -> Park:
    """Say that a SUBWORKFLOW block waits for a run of its template, which begins when it is parked.

    A block that comes back waits for the child it has, unless that failed. Raises ``ToolError``.
    """
    with connection.cursor() as cursor:
        cursor.execute(DETACH_FAILED, [work.block_execution_id, work.block_execution_id, work.fence])
    standing = Execution.objects.filter(parent_block_execution_id=work.block_execution_id).first()
    if standing is not None:
        return _wait_for(standing.public_id, work)
    parent = Execution.objects.select_related("workspace", "created_by").get(pk=work.execution_id)
    if parent.depth >= MAX_DEPTH:
        message = f"sub-workflows are nested at most {MAX_DEPTH} deep; does this one start itself again?"
        raise ToolError(ErrorType.CONFIGURATION_ERROR, message)
    given, compiled, choice = _prepare(parent, work)
    public_id = new_execution_id()
    return _wait_for(public_id, work, partial(_start, given, compiled, choice, parent, public_id))


def _wait_for(
    child_id: str, work: BlockWork, then: Callable[[Settler, Any], list[tuple[int, Aftermath]]] | None = None
) -> Park:
    timeout_ms = work.block.timeout
    return Park(
        WAITS_FOR,
        wait_key=child_id,
        due_in_s=timeout_ms / 1_000 if timeout_ms else None,
        event_data={"childExecutionId": child_id},
        then=then,
    )


def _prepare(parent: Execution, work: BlockWork) -> tuple[NewRun, CompiledVersion, VersionChoice | None]:
    configuration = read_configuration(
        SubworkflowConfiguration, work.input if isinstance(work.input, dict) else {}
    )
    try:
        template = get_template(parent.workspace, configuration.template)
        facts = StartFacts(template, parent.created_by, configuration.input, parent.public_id)
        named = get_version(template, configuration.version) if configuration.version is not None else None
        version, compiled, choice = version_to_run(facts, named)
        check_input(compiled.definition.input_schema, configuration.input)
    except (TemplateNotFound, VersionNotFound) as error:
        raise ToolError(ErrorType.RESOURCE_NOT_FOUND, error.message) from None
    except TemplateNotRunnable as error:
        message = f"the template '{configuration.template}' cannot run: {error.message}"
        raise ToolError(ErrorType.CONFIGURATION_ERROR, message, problems=error.problems) from None
    except InputRejected as error:
        raise ToolError(ErrorType.VALIDATION_ERROR, error.message, problems=error.problems) from None
    given = NewRun(
        template,
        version,
        parent.created_by,
        configuration.input,
        _inherited_options(parent),
        parent.priority,
        compiled.definition.global_settings.timeout,
        parent.door,
    )
    return given, compiled, choice


def _inherited_options(parent: Execution) -> JsonObject:
    """Return the options of a run that hold for the runs it starts: who may not ask models lets nobody ask them."""
    given = ExecutionInput.objects.filter(execution=parent).values_list("options", flat=True).get()
    return {name: given[name] for name in INHERITED_OPTIONS if name in given}


def _start(
    given: NewRun,
    compiled: CompiledVersion,
    choice: VersionChoice | None,
    parent: Execution,
    public_id: str,
    settler: Settler,
    row: Any,
) -> list[tuple[int, Aftermath]]:
    """Insert and begin the child; while its parent is paused it begins paused."""
    paused = settler.run.status is ExecutionStatus.PAUSED
    child, run = insert_run(
        settler.tx,
        given,
        public_id=public_id,
        parentage=Parentage(parent, row.id),
        status=ExecutionStatus.PAUSED if paused else ExecutionStatus.STARTING,
    )
    if choice:
        choice.record(settler.tx, child)
    data = {"parentExecutionId": parent.public_id, "parentBlockId": row.block_id}
    data |= choice.event_data if choice else {}
    return [(child.pk, conclude_locked(begin_run(settler.tx, child, run, compiled, data)))]


def find_unreported() -> list[int]:
    """Return children that ended without saying so to the block that waits for them."""
    return _ids(UNREPORTED)


def report_ended_child(child_id: int) -> None:
    """Tell the block that waits for a child that it ended."""
    told = end_waiting_block(child_id)
    if told is not None:
        parent_id, aftermath = told
        follow_up(aftermath, parent_id)


def find_unwanted() -> list[int]:
    """Return children whose block waits for them no more: it timed out or was cancelled."""
    return _ids(UNWANTED)


def stop_unwanted_child(child_id: int) -> None:
    """Stop a child for which nobody waits."""
    follow_up(_stop(child_id), child_id)


def _stop(child_id: int) -> Aftermath:
    """Let nothing of a child begin any more; it ends when what is at work in it has."""
    with command_transaction() as tx:
        run = lock_run(tx, child_id)
        if run is None or run.failing or run.status in ENDED_EXECUTION_STATUSES:
            return Aftermath()
        message = "the block that started this run waits for it no more"
        settler = Settler(tx, run, compiled_version(run.version_id))
        run.failing = True
        run.unhandled_failures += 1
        run.error = json.dumps({"type": ErrorType.CHILD_CANCELLED, "message": message, "retryable": False})
        settler.journal.event("execution_unwanted", data={"reason": message})
        settler.journal.log("WARNING", f"Workflow {run.public_id}: {message}")
        aftermath = conclude_locked(settler)
    aftermath.unsettled = any_unsettled(child_id)
    return aftermath


def _ids(statement: str) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return [row_id for (row_id,) in cursor.fetchall()]

"""Waits: blocks that stop until a time, a signal, an agent's callback or another run comes.

A waiting block holds no worker and no slot. Whatever it waits for finishes its row in a transaction that holds the
execution row's lock (or, for the end of a sub-workflow, the block's row alone); the row is then settled like any
other that finished. Of a timer and an answer that compete one finds the row WAITING.
"""

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pydantic import JsonValue

from executions_app.finishing import Aftermath, Result, any_unsettled, conclude_locked
from executions_app.handlers import BlockWork, Park
from executions_app.models import BlockExecution
from executions_app.recovering import recover_wait
from executions_app.results import Error
from executions_app.reviews import give_output
from executions_app.run_state import lock_run
from executions_app.settlement import Settler
from executions_app.transaction import command_transaction, database_now
from templates_app.plans import compiled_version
from workflow_service.agents.configuration import read_configuration
from workflow_service.agents.waits import WaitConfiguration
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import (
    ENDED_EXECUTION_STATUSES,
    BlockStatus,
    ErrorType,
    ExecutionStatus,
)

WaitsFor = BlockExecution.WaitsFor

DUE = """
    SELECT id, node, kind, block_id, agent_id, fence, waits_for, wait_key, started_at, due_at, input::text AS input
    FROM executions_app_blockexecution
    WHERE execution_id = %s AND status = 'WAITING' AND waits_for IN ('timer', 'signal', 'callback', 'child')
        AND due_at <= clock_timestamp() ORDER BY id FOR UPDATE
"""
WAITING_FOR_SIGNAL = """
    SELECT id, node, kind, block_id, agent_id, fence FROM executions_app_blockexecution
    WHERE execution_id = %s AND status = 'WAITING' AND waits_for = 'signal' AND wait_key = %s
    ORDER BY id LIMIT 1 FOR UPDATE
"""
CONSUME_SIGNAL = """
    UPDATE executions_app_signal SET consumed_by = %s, consumed_at = %s
    WHERE id = (SELECT id FROM executions_app_signal
                WHERE execution_id = %s AND name = %s AND consumed_by IS NULL ORDER BY id LIMIT 1)
    RETURNING id, payload::text AS payload
"""


def begin_wait(work: BlockWork) -> Result | Park:
    """Say what a WAIT block waits for; one that need not wait is done. Raises ``ToolError``."""
    given = work.input if isinstance(work.input, dict) else {}
    wait = read_configuration(WaitConfiguration, given)
    if wait.signal is not None:
        timeout_ms = wait.timeout or work.block.timeout
        return Park(
            WaitsFor.SIGNAL,
            wait_key=wait.signal,
            due_in_s=timeout_ms / 1_000 if timeout_ms else None,
            event_data={"signal": wait.signal},
            then=partial(_take_kept_signal, wait.signal),
        )
    if wait.duration:
        return Park(WaitsFor.TIMER, due_in_s=wait.duration / 1_000)
    now = database_now()
    if wait.until is None or wait.until <= now:
        return Result(BlockStatus.COMPLETED, output={"firedAt": _moment(now)})
    return Park(WaitsFor.TIMER, due_at=wait.until)


def deliver_signal(settler: Settler, name: str) -> bool:
    """Hand the oldest kept signal of that name to the oldest block that waits for it; False if none does."""
    row = settler.tx.run(WAITING_FOR_SIGNAL, (settler.run.id, name)).fetchone()
    return row is not None and _consume(settler, row, name)


def fire_due(execution_id: int) -> Aftermath:
    """Finish the waits whose time has come. In a paused run they keep until it is resumed."""
    with command_transaction() as tx:
        run = lock_run(tx, execution_id)
        if run is None or run.status in ENDED_EXECUTION_STATUSES or run.status is ExecutionStatus.PAUSED:
            return Aftermath()
        settler = Settler(tx, run, compiled_version(run.version_id))
        for row in tx.run(DUE, (execution_id,)).fetchall():
            _fire(settler, row)
        aftermath = conclude_locked(settler)
    aftermath.unsettled = any_unsettled(execution_id)
    return aftermath


def _fire(settler: Settler, row: Any) -> None:
    within = f"within {(row.due_at - row.started_at).total_seconds():.1f} s"
    match row.waits_for:
        case WaitsFor.TIMER:
            give_output(settler, row, {"firedAt": _moment(settler.run.now)})
        case WaitsFor.SIGNAL if json.loads(row.input).get("onTimeout") == "continue":
            give_output(settler, row, _signal_output(row.wait_key, None, timed_out=True))
        case WaitsFor.SIGNAL:
            recover_wait(settler, row.id, timed_out(f"the signal '{row.wait_key}' did not come {within}"))
        case WaitsFor.CALLBACK:
            message = f"the agent accepted the work and did not call back {within}"
            recover_wait(settler, row.id, timed_out(message, retryable=True))
        case WaitsFor.CHILD:
            recover_wait(settler, row.id, timed_out(f"the sub-workflow {row.wait_key} did not end {within}"))


def timed_out(message: str, *, retryable: bool = False) -> Error:
    """Return the error of a wait that was too long."""
    return {"type": ErrorType.TIMEOUT_ERROR, "message": message, "details": {}, "retryable": retryable}


def _take_kept_signal(name: str, settler: Settler, row: Any) -> tuple[()]:
    _consume(settler, row, name)
    return ()


def _consume(settler: Settler, row: Any, name: str) -> bool:
    run = settler.run
    kept = settler.tx.run(CONSUME_SIGNAL, (row.id, run.now, run.id, name)).fetchone()
    if kept is None:
        return False
    settler.journal.event(
        "signal_delivered", row.block_id, {"signalId": f"signal_{kept.id:03d}", "name": name}, row_id=row.id
    )
    payload = json.loads(kept.payload) if kept.payload is not None else None
    give_output(settler, row, _signal_output(name, payload))
    return True


def _signal_output(name: str, payload: JsonValue, *, timed_out: bool = False) -> JsonObject:
    return {"signal": name, "payload": payload, "timedOut": timed_out}


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

"""Signals: what the world tells a run by name, and a block may wait for.

A signal is kept from the moment it is answered, whether or not a block waits already; each wait consumes one, the
oldest first. Both sides act under the execution row's lock, so none slips between a look and a wait.
"""

from dataclasses import dataclass

from django.db import connection
from pydantic import JsonValue

from executions_app.aftermath import follow_up
from executions_app.errors import ExecutionEnded, SignalRejected, TooManySignals
from executions_app.finishing import any_unsettled, conclude_locked
from executions_app.models import Execution, Signal
from executions_app.run_state import lock_run
from executions_app.settlement import Settler
from executions_app.transaction import command_transaction
from executions_app.waits import deliver_signal
from templates_app.plans import compiled_version
from workflow_service.accounts.idempotency import IdempotencyConflict
from workflow_service.accounts.models import User
from workflow_service.accounts.recording import statement_by
from workflow_service.agents.waits import SIGNAL_NAME
from workflow_service.engine.errors import Problem
from workflow_service.engine.json_values import JsonUnfit, check_json
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES

MAX_KEPT = 1_000
PAYLOAD_MAX_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class SentSignal:
    """A signal that was taken; ``delivered``: a block waited for it, and has it. ``repeated``: it was taken before."""

    signal_id: str
    delivered: bool
    repeated: bool = False


def send_signal(
    *,
    execution: Execution,
    name: str,
    payload: JsonValue,
    idempotency_key: str | None = None,
    body_sha256: str = "",
    actor: User | None = None,
) -> SentSignal:
    """Give a run a signal; the same ``idempotency_key`` and body give it once.

    Raises ``SignalRejected``, ``ExecutionEnded``, ``TooManySignals``, ``IdempotencyConflict``.
    """
    _check(name, payload)
    with command_transaction() as tx:
        run = lock_run(tx, execution.pk)
        assert run is not None  # noqa: S101 - a run is never deleted while it is used
        standing = _standing(execution, name, idempotency_key, body_sha256)
        if standing is not None:
            delivered = standing.consumed_at == standing.received_at
            return SentSignal(standing.public_id, delivered, repeated=True)
        if run.status in ENDED_EXECUTION_STATUSES:
            raise ExecutionEnded(run.public_id, run.status, "signalled")
        _require_room(execution)
        signal = Signal.objects.create(
            execution=execution,
            name=name,
            payload=payload,
            dedup_key=idempotency_key or "",
            body_sha256=body_sha256,
            received_at=run.now,
        )
        settler = Settler(tx, run, compiled_version(run.version_id))
        settler.journal.event("signal_received", data={"signalId": signal.public_id, "name": name})
        delivered = deliver_signal(settler, name)
        tx.run(
            *statement_by(
                actor, "execution.signal", run.workspace_id, "execution", run.public_id, signal=signal.public_id,
                name=name,
            )
        )  # fmt: skip
        aftermath = conclude_locked(settler)
    aftermath.unsettled = any_unsettled(execution.pk)
    follow_up(aftermath, execution.pk)
    return SentSignal(signal.public_id, delivered)


def _check(name: str, payload: JsonValue) -> None:
    if not SIGNAL_NAME.fullmatch(name):
        message = "a signal's name begins with a letter or _ and holds at most 100 letters, digits and _ . -"
        raise SignalRejected(message)
    try:
        check_json(payload, max_bytes=PAYLOAD_MAX_BYTES)
    except JsonUnfit as error:
        problem = Problem(error.kind, error.reason, pointer="/payload" + error.pointer)
        raise SignalRejected(f"the payload cannot be kept: {error.message}", [problem]) from None


def _standing(execution: Execution, name: str, key: str | None, body_sha256: str) -> Signal | None:
    standing = Signal.objects.filter(execution=execution, dedup_key=key).first() if key else None
    if standing is not None and (standing.name, standing.body_sha256) != (name, body_sha256):
        raise IdempotencyConflict(f"the Idempotency-Key '{key}' was used for another request; send a new key")
    return standing


def _require_room(execution: Execution) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*) FROM (SELECT 1 FROM executions_app_signal
            WHERE execution_id = %s AND consumed_by IS NULL LIMIT %s) AS kept
            """,
            [execution.pk, MAX_KEPT],
        )
        if cursor.fetchone()[0] >= MAX_KEPT:
            message = (
                f"the execution keeps {MAX_KEPT} signals that no block has waited for, and takes no more"
            )
            raise TooManySignals(message)

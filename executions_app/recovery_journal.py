"""Recovery actions of one locked run, and how often each strategy worked.

Actions are collected and written with everything else that a transaction decides. What a block's last action led to is
known when the block settles or fails again: one statement then writes the outcome and counts it, for the error's class
and for its fingerprint. It is the last statement of its transaction to take locks that other runs may wait for, and
takes them in one order. What a person
put another action in the place of is not counted, nor what was cancelled or taken back before it led to anything, nor
what was done about a block that had not failed.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from executions_app.run_state import RunState
from executions_app.transaction import EngineTransaction
from workflow_service.engine.recovery import PastAction, RecoveryStep, classify
from workflow_service.engine.recovery_advice import ModelAdvice, fingerprint
from workflow_service.engine.states import ErrorType, RecoveryStrategy

BY_PERSON = "person"
MAX_MESSAGE_CHARACTERS = 1_000
MAX_REASONING_CHARACTERS = 1_000
# Details of an error that are larger are left out of the action; the block's row and its log have them.
MAX_CONTEXT_CHARACTERS = 4_000

PAST_ACTIONS = """
    SELECT strategy, agent_id FROM executions_app_recoveryaction
    WHERE block_execution_id = %s AND suggested_by <> 'person' ORDER BY id
"""
RESOLVE = """
    WITH resolved AS (
        UPDATE executions_app_recoveryaction AS a
        SET outcome = r.outcome, finished_at = %s
        FROM jsonb_to_recordset(%s) AS r(id bigint, outcome text)
        WHERE a.block_execution_id = r.id AND a.outcome = 'pending'
        RETURNING a.error_class, a.error_type, a.error_message, a.fingerprint, a.strategy, a.outcome
    ), counted AS (
        SELECT * FROM resolved WHERE outcome <> 'superseded' AND error_class <> ''
    ), patterns AS (
        INSERT INTO executions_app_recoverypattern AS p (
            workspace_id, fingerprint, strategy, error_class, error_type, example, succeeded, failed, last_seen_at)
        SELECT %s, fingerprint, strategy, min(error_class), min(error_type), max(error_message),
            count(*) FILTER (WHERE outcome = 'succeeded'), count(*) FILTER (WHERE outcome = 'failed'), %s
        FROM counted GROUP BY fingerprint, strategy ORDER BY fingerprint, strategy
        ON CONFLICT (workspace_id, fingerprint, strategy) DO UPDATE SET
            succeeded = p.succeeded + EXCLUDED.succeeded, failed = p.failed + EXCLUDED.failed,
            example = EXCLUDED.example, last_seen_at = greatest(p.last_seen_at, EXCLUDED.last_seen_at))
    INSERT INTO executions_app_recoverystatistic AS s (workspace_id, error_class, strategy, succeeded, failed)
    SELECT %s, error_class, strategy, count(*) FILTER (WHERE outcome = 'succeeded'),
        count(*) FILTER (WHERE outcome = 'failed')
    FROM counted GROUP BY error_class, strategy ORDER BY error_class, strategy
    ON CONFLICT (workspace_id, error_class, strategy) DO UPDATE SET
        succeeded = s.succeeded + EXCLUDED.succeeded, failed = s.failed + EXCLUDED.failed
"""
# What the same transaction cancelled or took back after the step leads to nothing any more.
WRITE_ACTIONS = """
    INSERT INTO executions_app_recoveryaction (
        workspace_id, execution_id, block_execution_id, block_id, attempt, error_class, error_type, error_message,
        fingerprint, strategy, reason, agent_id, suggested_by, ai_reasoning, ai_model, ai_confidence, error_context,
        outcome, created_at, finished_at)
    SELECT %(workspace)s, %(execution)s, a.block_execution_id, a.block_id, a.attempt, a.error_class, a.error_type,
        a.error_message, a.fingerprint, a.strategy, a.reason, a.agent_id, a.suggested_by, a.ai_reasoning, a.ai_model,
        a.ai_confidence, a.error_context,
        CASE WHEN b.superseded OR b.status = 'CANCELLED' THEN 'superseded' ELSE 'pending' END, %(now)s,
        CASE WHEN b.superseded OR b.status = 'CANCELLED' THEN %(now)s END
    FROM jsonb_to_recordset(%(actions)s) AS a(block_execution_id bigint, block_id text, attempt int, error_class text,
        error_type text, error_message text, fingerprint text, strategy text, reason text, agent_id text,
        suggested_by text, ai_reasoning text, ai_model text, ai_confidence smallint, error_context jsonb)
    JOIN executions_app_blockexecution b ON b.id = a.block_execution_id
"""
SUPERSEDE_PENDING = """
    UPDATE executions_app_recoveryaction SET outcome = 'superseded', finished_at = %s
    WHERE block_execution_id = ANY(%s) AND outcome = 'pending'
"""


class RecoveryJournal:
    """Collects the actions of one transaction, and what became of earlier ones."""

    def __init__(self, run: RunState) -> None:
        self._run = run
        self._actions: list[dict[str, Any]] = []
        self._resolved: dict[int, str] = {}

    def resolved(self, row_id: int, succeeded: bool) -> None:
        """Say how a block fared after its last action."""
        self._resolved.setdefault(row_id, "succeeded" if succeeded else "failed")

    def superseded(self, row_id: int) -> None:
        """Say that a person put another action in the place of a block's last one."""
        self._resolved.setdefault(row_id, "superseded")

    def action(
        self,
        row: Any,
        step: RecoveryStep,
        error: Mapping[str, JsonValue],
        *,
        suggested_by: str | None = None,
        advice: ModelAdvice | None = None,
    ) -> dict[str, JsonValue]:
        """Note a step for a block row (``id``, ``block_id``, ``recoveries``); return what its event says.

        ``error`` is empty where the block has not failed: its action then is of no class. ``suggested_by`` is who put
        the step first where nobody else does. ``advice`` is what a model said, where the step follows it.
        """
        suggested_by = suggested_by or step.advised_by
        failed = _described(error) if error else {}
        attempt = row.recoveries + 1
        message = str(error.get("message") or "")[:MAX_MESSAGE_CHARACTERS]
        self._actions.append(
            {
                "block_execution_id": row.id,
                "block_id": row.block_id,
                "attempt": attempt,
                "error_class": failed.get("errorClass", ""),
                "error_type": error_type_of(error) if error else "",
                "error_message": message,
                "fingerprint": failed.get("fingerprint", ""),
                "strategy": step.strategy,
                "reason": step.reason,
                "agent_id": step.agent_id,
                "suggested_by": suggested_by,
                "ai_reasoning": advice.reasoning[:MAX_REASONING_CHARACTERS] if advice else "",
                "ai_model": advice.model if advice else "",
                "ai_confidence": advice.confidence if advice else None,
                "error_context": _context(row, error),
            }
        )
        return {
            "strategy": step.strategy,
            "reason": step.reason,
            "attempt": attempt,
            "suggestedBy": suggested_by,
            **failed,
            **({"reasoning": advice.reasoning, "confidence": advice.confidence} if advice else {}),
            **({"delayMs": round(step.delay_s * 1_000)} if step.delay_s else {}),
            **({"agentId": step.agent_id} if step.agent_id else {}),
        }

    def flush(self, tx: EngineTransaction) -> None:
        """Write outcomes first, so that an action of this transaction stays pending; nothing where nothing was."""
        run = self._run
        if self._resolved:
            rows = [{"id": row, "outcome": outcome} for row, outcome in self._resolved.items()]
            workspace = run.workspace_id
            tx.run(RESOLVE, (run.now, Jsonb(rows), workspace, run.now, workspace))
        if self._actions:
            values = {"workspace": run.workspace_id, "execution": run.id, "now": run.now}
            tx.run(WRITE_ACTIONS, {**values, "actions": Jsonb(self._actions)})


def supersede_actions(tx: EngineTransaction, run: RunState, rows: Iterable[Any]) -> None:
    """Say that nothing comes of the actions under way for rows (``id``, ``recoveries``): they count neither way.

    The rows are cancelled or taken back.
    """
    ids = [row.id for row in rows if row.recoveries]
    if ids:
        tx.run(SUPERSEDE_PENDING, (run.now, ids))


def _described(error: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return what an event says of the error that an action is about."""
    error_type = error_type_of(error)
    message = str(error.get("message") or "")[:MAX_MESSAGE_CHARACTERS]
    return {
        "errorClass": classify(error_type),
        "fingerprint": fingerprint(error_type, message),
        "error": {"type": error_type, "message": message},
    }


def _context(row: Any, error: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return what is known of a failed try beside its error: document B section 6.6."""
    if not error:
        return {}
    details = error.get("details")
    kept = details if len(str(details)) <= MAX_CONTEXT_CHARACTERS else None
    found: dict[str, JsonValue] = {
        "agentId": row.agent_id or None,
        "retries": row.retries,
        "retryable": error.get("retryable") is True,
        "details": kept,
    }
    return {name: value for name, value in found.items() if value is not None}


def past_actions(tx: EngineTransaction, row_id: int) -> list[PastAction]:
    """Return the earlier steps for a block row, those of people left out."""
    return [
        PastAction(RecoveryStrategy(row.strategy), row.agent_id) for row in tx.run(PAST_ACTIONS, (row_id,))
    ]


def error_type_of(error: Mapping[str, JsonValue]) -> ErrorType:
    """Return the type of an error as blocks keep it; what is unknown is a system error."""
    try:
        return ErrorType(str(error.get("type")))
    except ValueError:
        return ErrorType.SYSTEM_ERROR

"""Recovery applied: the engine's next step for a failed block becomes its row's new state, in one transaction.

Every function here works on a run whose row the transaction has locked, and on a block row that it has read ``FOR
UPDATE``. The step, its ``RecoveryAction`` and its event are written with its effect: a process that dies before the
commit leaves the block as it was, for the sweeper to hand to another. Each change raises the row's fence, so a second
message, or a result that comes too late, finds nothing.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from executions_app import log_lines
from executions_app.agent_work import agent_of_stand_in, is_map, with_stand_ins
from executions_app.concerned import concerned_by, names_of
from executions_app.handlers import Intervention, asks_people_to_intervene
from executions_app.models import BlockExecution
from executions_app.recovery_journal import (
    BY_PERSON,
    error_type_of,
    past_actions,
)
from executions_app.recovery_patterns import experience_of
from executions_app.recovery_policy import INTERVENTION, ROUTING, ROUTING_ASKED, policy_for
from executions_app.results import REPLACE_OUTPUT
from executions_app.settlement import Error, Settler
from executions_app.transaction import EngineTransaction
from workflow_service.agents.errors import NOT_DONE
from workflow_service.engine.definition import Block, Escalation, JsonObject
from workflow_service.engine.recovery import (
    Failure,
    RecoveryStep,
    decide_recovery,
    history_of,
)
from workflow_service.engine.recovery_advice import ModelAdvice
from workflow_service.engine.states import BlockStatus, RecoveryStrategy

S = RecoveryStrategy
# These leave the block under way; in a failing run nothing is.
GOES_ON = frozenset({S.RETRY, S.QUEUE, S.REASSIGN, S.FALLBACK, S.ESCALATE})
GIVES_UP = frozenset({S.COMPENSATE, S.ABORT})

READ_ROW = """
    SELECT id, node, kind, block_id, agent_id, status, fence, retries, recoveries, losses, variant, stand_in,
        waits_for, wait_key, holds_slot, input::text AS input, error::text AS error,
        coalesce(due_at <= clock_timestamp(), false) AS overran
    FROM executions_app_blockexecution WHERE id = %s AND execution_id = %s FOR UPDATE
"""
CHANGE_ROW = """
    UPDATE executions_app_blockexecution SET status = %s, fence = fence + 1, holds_slot = false, worker_id = NULL,
        recoveries = recoveries + %s, retries = retries + %s, agent_id = coalesce(%s, agent_id),
        stand_in = coalesce(%s, stand_in), variant = variant + %s,
        input = CASE WHEN %s THEN %s ELSE input END, error = %s, waits_for = %s, wait_key = %s,
        due_at = clock_timestamp() + make_interval(secs => %s), next_send_at = NULL,
        finished_at = CASE WHEN %s THEN clock_timestamp() END
    WHERE id = %s
"""
UNASKED = f"""
    SELECT id FROM executions_app_blockexecution
    WHERE execution_id = %s AND status = 'WAITING' AND wait_key = '{ROUTING}' ORDER BY id
"""  # noqa: S608
SET_WAIT_KEY = "UPDATE executions_app_blockexecution SET wait_key = %s WHERE id = %s"


@dataclass(frozen=True, slots=True)
class Effect:
    """What becomes of a block's row. ``input`` is the work's new input; ``fresh`` has it resolved, or taken, anew."""

    status: BlockStatus
    due_in_s: float | None = None
    retries: int = 0
    agent_id: str | None = None
    stand_in: str | None = None
    fresh: bool = False
    input: JsonValue = None
    output: JsonObject | None = None
    waits: bool = False


def read_block(tx: EngineTransaction, execution_id: int, row_id: int) -> Any:
    """Return a block's row, locked; None if there is none. The run's row must be locked before."""
    return tx.run(READ_ROW, (row_id, execution_id)).fetchone()


def recover_block(
    settler: Settler, row: Any, error: Error, advice: ModelAdvice | None = None
) -> RecoveryStep:
    """Do what the block's policy says about ``error``: decide, write the action and its event, change the row.

    ``row`` is that of ``read_block``, RUNNING or WAITING. A block that failed for good is yet to be settled. ``advice``
    is followed as far as the policy allows, by what is known now.
    """
    failure = failure_of(error)
    block = _block_of(settler, row)
    policy = with_stand_ins(policy_for(settler, row, block), block, row, settler.run.workspace_id)
    step = decide_recovery(
        policy,
        failure,
        history_of(past_actions(settler.tx, row.id), row.agent_id),
        jitter=random.random(),  # noqa: S311 - spreads load, hides nothing
        experience=experience_of(settler.run.workspace_id, failure),
        advice=advice,
    )
    followed = advice if step.advised_by == "ai" else None
    take_step(settler, row, step, error, escalation=policy.escalation, advice=followed)
    return step


def recover_wait(settler: Settler, row_id: int, error: Error) -> None:
    """Do what the policy of a waiting block says about a wait that went wrong."""
    recover_block(settler, read_block(settler.tx, settler.run.id, row_id), error)


def take_step(
    settler: Settler,
    row: Any,
    step: RecoveryStep,
    error: Error,
    *,
    escalation: Escalation | None = None,
    suggested_by: str | None = None,
    advice: ModelAdvice | None = None,
    output: JsonObject | None = None,
) -> None:
    """Apply one step to a block's row, with its action and its event.

    ``output`` is what a skipped block gives instead of its ``defaultOutput``.
    """
    run = settler.run
    block = _block_of(settler, row)
    if run.failing and not run.compensating and step.strategy in GOES_ON:
        # Nothing goes on in a failing run: the row is cancelled with the others that wait.
        change_block(settler, row, Effect(BlockStatus.RETRYING), error)
        return
    _note(settler, row, step, error, suggested_by, advice)
    match step.strategy:
        case S.RETRY:
            _say_retrying(settler, row, step, error, counts=1)
            effect = Effect(BlockStatus.RETRYING, due_in_s=step.delay_s, retries=1)
        case S.QUEUE:
            _say_retrying(settler, row, step, error, counts=0)
            effect = Effect(BlockStatus.RETRYING, due_in_s=step.delay_s)
        case S.REASSIGN:
            log_lines.block_reassigned(settler.journal, run, row, row.agent_id, step.agent_id or "")
            effect = Effect(BlockStatus.READY, agent_id=step.agent_id)
        case S.FALLBACK:
            work = block.recovery.fallback if block.recovery else None
            agent_id = agent_of_stand_in(block, work)
            stand_in = BlockExecution.StandIn.FALLBACK
            effect = Effect(BlockStatus.READY, agent_id=agent_id, stand_in=stand_in, fresh=True)
        case S.SKIP:
            given = output if output is not None else block.default_output or {}
            effect = Effect(BlockStatus.COMPLETED, stand_in=BlockExecution.StandIn.DEFAULT, output=given)
        case S.ESCALATE:
            _wait_for_person(settler, row)
            _ask_person(settler, row, block, escalation or Escalation(), error)
            effect = Effect(BlockStatus.WAITING, waits=True)
        case S.COMPENSATE | S.ABORT:
            run.failing = run.failing or step.strategy is S.COMPENSATE
            effect = Effect(BlockStatus.FAILED)
    change_block(settler, row, effect, error, actions=1)


def skip_block(settler: Settler, row: Any, *, reason: str, output: JsonObject | None = None) -> None:
    """Complete a block that waits, or is yet to begin, with ``output`` or its ``defaultOutput``: a person says so."""
    step = RecoveryStep(S.SKIP, reason)
    take_step(settler, row, step, _error_of(row), suggested_by=BY_PERSON, output=output)


def reassign_block(settler: Settler, row: Any, step: RecoveryStep) -> None:
    """Give an unfinished block to another agent because a person says so; whatever its present one sends is dropped."""
    take_step(settler, row, step, _error_of(row), suggested_by=BY_PERSON)


def answer_intervention(
    settler: Settler, row: Any, *, approved: bool, response: JsonObject, responder: str, comments: str
) -> None:
    """Do what a person decided about a block that waits for one: retry it (mended), skip it, or abort.

    ``response`` fits the question's schema; a rejection aborts.
    """
    action = S(str(response.get("action"))) if approved else S.ABORT
    routing = row.wait_key == ROUTING_ASKED
    reason = f"{responder} decided" + (f": {comments}" if comments else "")
    error = _error_of(row)
    # Of a person's decision what counts is whether the block was to go on.
    settler.recoveries.resolved(row.id, action is not S.ABORT)
    step = RecoveryStep(action, reason)
    if action is not S.RETRY:
        output = response.get("output")
        given = output if isinstance(output, dict) else None
        take_step(settler, row, step, error, suggested_by=BY_PERSON, output=given)
        return
    _note(settler, row, step, error, BY_PERSON)
    if routing:
        # Its work is done: what is tried again is the way on, with what the person adds to the context.
        added = response.get("input")
        settler.put_context(row, added if isinstance(added, dict) else {})
        change_block(settler, row, Effect(BlockStatus.COMPLETED), error, actions=1)
        return
    mended = None
    if not is_map(row, _block_of(settler, row)):
        mended = mended_input(json.loads(row.input) if row.input else None, response)
    effect = (
        Effect(BlockStatus.READY) if mended is None else Effect(BlockStatus.READY, fresh=True, input=mended)
    )
    change_block(settler, row, effect, error, actions=1)


def mended_input(given: JsonValue, response: JsonObject) -> JsonObject | None:
    """Return a block's resolved configuration as a person mends it; None if they leave it as it is.

    Keys of ``configuration`` replace those of the block's, keys of ``input`` those of its ``input``.
    """
    configuration, changes = response.get("configuration"), response.get("input")
    if not configuration and not changes:
        return None
    mended = dict(given) if isinstance(given, dict) else {}
    mended |= configuration if isinstance(configuration, dict) else {}
    if isinstance(changes, dict):
        before = mended.get("input")
        mended["input"] = {**(before if isinstance(before, dict) else {}), **changes}
    return mended


def change_block(settler: Settler, row: Any, effect: Effect, error: Error, *, actions: int = 0) -> None:
    """Give a block's row its new state, and the run's counters theirs. A row that is READY may be queued again."""
    run = settler.run
    run.slots -= row.holds_slot
    if row.status == BlockStatus.READY:
        run.ready -= 1
    waits_for_person = row.status == BlockStatus.WAITING and row.waits_for == BlockExecution.WaitsFor.PERSON
    run.waiting_for_people += effect.waits - waits_for_person
    finished = effect.status in (BlockStatus.COMPLETED, BlockStatus.FAILED)
    due_in_s = 0.0 if effect.status is BlockStatus.RETRYING and effect.due_in_s is None else effect.due_in_s
    settler.tx.run(
        CHANGE_ROW,
        (
            effect.status, actions, effect.retries, effect.agent_id, effect.stand_in, int(effect.fresh),
            effect.fresh, None if effect.input is None else Jsonb(effect.input),
            None if effect.status is BlockStatus.COMPLETED or not error else Jsonb(error),
            BlockExecution.WaitsFor.PERSON if effect.waits else "", INTERVENTION if effect.waits else "",
            due_in_s, finished, row.id,
        ),
    )  # fmt: skip
    if effect.output is not None:
        settler.tx.run(REPLACE_OUTPUT, (Jsonb(effect.output), row.id, row.fence + 1))
    if effect.status is BlockStatus.READY:
        settler.journal.event("block_woken", row.block_id, row_id=row.id)
        settler.progress.add_ready(1)


def _note(
    settler: Settler,
    row: Any,
    step: RecoveryStep,
    error: Error,
    suggested_by: str | None,
    advice: ModelAdvice | None = None,
) -> None:
    if row.recoveries and suggested_by == BY_PERSON:
        settler.recoveries.superseded(row.id)
    elif row.recoveries:
        settler.recoveries.resolved(row.id, False)
    data = settler.recoveries.action(row, step, error, suggested_by=suggested_by, advice=advice)
    if step.strategy in GIVES_UP:
        concerned = concerned_by(settler, row, _block_of(settler, row))
        data |= {"concerns": concerned}
        log_lines.recovery_given_up(settler.journal, settler.run, row, step, names_of(concerned))
    else:
        message = f"Recovery of block {row.block_id}: {step.strategy} ({step.reason})"
        settler.journal.log("WARNING", message, row)
    settler.journal.event("recovery_action", row.block_id, data, row_id=row.id)


def _say_retrying(settler: Settler, row: Any, step: RecoveryStep, error: Error, *, counts: int) -> None:
    settler.journal.event(
        "block_retrying",
        row.block_id,
        {
            "error": _shown(error),
            "retryCount": row.retries + counts,
            "delayMs": round(step.delay_s * 1_000),
        },
        row_id=row.id,
    )


def ask_about_routing(settler: Settler) -> None:
    """Ask people about the blocks of a run whose work is done and whose way on failed, if nobody was asked yet."""
    for found in settler.tx.run(UNASKED, (settler.run.id,)).fetchall():
        row = read_block(settler.tx, settler.run.id, found.id)
        block = _block_of(settler, row)
        escalation = policy_for(settler, row, block).escalation or Escalation()
        _ask_person(settler, row, block, escalation, _error_of(row), actions=(S.RETRY, S.ABORT))
        settler.tx.run(SET_WAIT_KEY, (ROUTING_ASKED, row.id))


def _wait_for_person(settler: Settler, row: Any) -> None:
    waits_for = BlockExecution.WaitsFor.PERSON
    settler.journal.event("block_waiting", row.block_id, {"waitsFor": waits_for}, row_id=row.id)


def _ask_person(
    settler: Settler,
    row: Any,
    block: Block,
    escalation: Escalation,
    error: Error,
    actions: tuple[S, ...] = (S.RETRY, S.SKIP, S.ABORT),
) -> None:
    run = settler.run
    asked = asks_people_to_intervene()(
        Intervention(
            execution_id=run.id,
            workspace_id=run.workspace_id,
            block_execution_id=row.id,
            block=block,
            escalation=escalation,
            actions=actions,
            error=_shown(error),
            input=json.loads(row.input) if row.input else None,
            mendable=not is_map(row, block),
        )
    )
    settler.journal.event("approval_requested", row.block_id, asked, row_id=row.id)
    log_lines.intervention_required(settler.journal, run, row)


def _block_of(settler: Settler, row: Any) -> Block:
    block: Block | None = settler.plan.nodes[row.node].block
    if block is None:
        raise LookupError(f"node {row.node} is no block")
    return block


def failure_of(error: Error) -> Failure:
    """Return an error of a block as the engine takes it."""
    details = error.get("details")
    asked = details.get("retryAfterS") if isinstance(details, dict) else None
    return Failure(
        error_type=error_type_of(error),
        message=str(error.get("message") or ""),
        retryable=error.get("retryable") is True,
        retry_after_s=float(asked) if isinstance(asked, int | float) else None,
        not_done=isinstance(details, dict) and details.get(NOT_DONE) is True,
    )


def _error_of(row: Any) -> Error:
    """Return what was wrong with a block; nothing where it has not failed."""
    error: Error = json.loads(row.error) if row.error else {}
    return error


def _shown(error: Mapping[str, JsonValue]) -> Error:
    return {key: value for key, value in error.items() if key != "stackTrace"}

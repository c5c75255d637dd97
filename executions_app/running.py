"""Running blocks in a worker: claim, work outside any transaction, finish, go on with the next one in place.

A worker process runs one block at a time. Whatever happens to it, the truth is in Postgres: a result that cannot be
written is tried again until the database answers, and a result whose fence is outdated is thrown away.
"""

import logging
import signal
import threading
import time
import traceback
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from uuid import UUID

from django.db import connection
from django.utils import timezone
from pydantic import JsonValue

from executions_app import log_lines, work_board
from executions_app.advising import advice_on
from executions_app.aftermath import follow_up, settle_again
from executions_app.agent_slots import give_back, give_back_claimed, hand_on, wait_for_slot
from executions_app.agent_work import Work, work_for
from executions_app.block_rules import timeout_s
from executions_app.callback_tokens import Try
from executions_app.claiming import claim_block, find_orphans, is_wanted, let_go
from executions_app.deciders import decider
from executions_app.finishing import Aftermath, Logs, Result, finish_block
from executions_app.handlers import Ask, BlockWork, Park, Reviewed, human_gate, review_gate
from executions_app.kept_outputs import NOT_KEPT, KeptOutput, kept_output
from executions_app.live_output import LiveOutput
from executions_app.map_results import collect_map, map_output
from executions_app.models import BlockExecution, Execution
from executions_app.parking import begin_map, park, postpone, recover, take_back
from executions_app.progress import Claim
from executions_app.reviews import input_sha256
from executions_app.secrets_in_use import secrets_in_use
from executions_app.services.callbacks import await_callback
from executions_app.services.children import begin_child
from executions_app.settlement import Error
from executions_app.stand_ins import work_of
from executions_app.transaction import DATABASE_GONE, persistently
from executions_app.waits import begin_wait
from executions_app.worker_identity import worker_id
from templates_app.plans import compiled_version
from workflow_service.accounts.models import Workspace
from workflow_service.agents.calls import AgentCall
from workflow_service.agents.errors import ToolError, tool_error_from
from workflow_service.agents.invocation import Accepted, Invocation, LogLine, Origin
from workflow_service.agents.limits import tool_limits
from workflow_service.agents.runtimes import invoke, load_runtime
from workflow_service.artifacts.run_files import ArtifactsOfRun
from workflow_service.engine.approval import is_reviewed, to_review
from workflow_service.engine.definition import Block
from workflow_service.engine.plan import Node
from workflow_service.engine.recovery_advice import ModelAdvice
from workflow_service.engine.states import BlockStatus, ErrorType, ToolType

logger = logging.getLogger(__name__)

TIME_SLICE_S = 5.0
# Scripts and requests keep their own time, and need some to clean up; the alarm ends what does not.
TIMEOUT_GRACE_S = 5.0
STOP_CHECK_INTERVAL_S = 1.0
# Shorter than it takes to put a block aside and take it up again.
SHORT_WAIT_S = 0.2


@dataclass(frozen=True, slots=True)
class Failed:
    """The work failed; what is done about it the block's recovery policy says, and a model where that lets it."""

    error: Error
    logs: Logs
    advice: ModelAdvice | None = None


@dataclass(frozen=True, slots=True)
class BeginMap:
    """The block is a map whose items are to run."""

    block: Block
    items: list[JsonValue]


@dataclass(frozen=True, slots=True)
class Postpone:
    """The block is to be taken up again in ``due_in_s`` seconds: its agent has had enough calls for now."""

    due_in_s: float
    event_data: dict[str, JsonValue]


Outcome = Result | Failed | Ask | Park | BeginMap | Postpone


# What this process began and could not give back: with its next message it is to know that these ran.
_not_given_back: set[tuple[int, int]] = set()


class BlockTimeout(TimeoutError):
    """The block did not end within its timeout."""


def run_blocks(execution_id: int, block_execution_id: int, queue: str) -> int:
    """Run a queued block and, in place, what follows it; returns how many were run.

    Nothing to claim is no error: a duplicate or late message does nothing.
    """
    worker = persistently(worker_id)
    done, clean = 0, False
    begun: set[tuple[int, int]] = set()
    work_board.note_busy()
    try:
        answer = persistently(lambda: claim_block(execution_id, block_execution_id, worker))
        if answer.orphans:
            persistently(lambda: let_go([worker]))
            hand_back(answer.orphans, worker, _not_given_back)
        if answer.no_slot:
            limit, agent_id = answer.no_slot
            persistently(lambda: wait_for_slot(execution_id, block_execution_id, limit, agent_id))
        if answer.unsettled:
            settle_again(execution_id, str(execution_id))
        done, clean = run_in_place(answer.claim, worker, queue, begun)
    finally:
        # What this process is not working on must not wait for it.
        if not clean:
            orphans = persistently(lambda: find_orphans(worker))
            persistently(lambda: let_go([worker]))
            hand_back(orphans, worker, begun)
        work_board.note_idle()
    return done


def run_in_place(
    claim: Claim | None, worker: UUID, queue: str, begun: set[tuple[int, int]]
) -> tuple[int, bool]:
    """Run a claimed block and what follows; returns how many, and whether every result was accepted.

    What it begins to work on is put into ``begun`` (row id, fence).
    """
    done, clean = 0, True
    slice_ends = time.monotonic() + TIME_SLICE_S
    while claim is not None:
        begun.add((claim.block_execution_id, claim.fence))
        with agent_slot(claim):
            outcome = persistently(partial(work_on, claim))
            if isinstance(outcome, Failed):
                outcome = advised(claim, outcome)
            continue_as = (worker, queue) if time.monotonic() < slice_ends else None
            aftermath = persistently(partial(write_outcome, claim, outcome, continue_as))
        done += 1
        clean = clean and aftermath.accepted
        try:
            next_claim = follow_up(aftermath, claim.execution_id, continue_as)
        except DATABASE_GONE as error:
            # The sweeper follows up; what may have been claimed meanwhile is handed back.
            logger.warning("%s is left to the sweeper: %s", claim.execution_public_id, error)
            connection.close()
            next_claim, clean = None, False
        claim = aftermath.claim or next_claim
    return done, clean


@contextmanager
def agent_slot(claim: Claim) -> Iterator[None]:
    """Give back the slot that a claim holds, if it holds one, when its work has stopped, whatever became of it."""
    try:
        yield
    finally:
        limit_id = claim.agent_limit_id
        if limit_id is not None:
            persistently(lambda: give_back(limit_id, claim.block_execution_id, claim.fence))
            hand_on(limit_id)


def hand_back(
    orphans: Iterable[tuple[int, int, int]], worker: UUID, begun: Collection[tuple[int, int]] | None
) -> None:
    """Give back blocks that bear a worker's id although it is not at work on them, and their agents' slots.

    Of those that are not among ``begun`` (row id, fence) it never learned, so they count as no loss of a worker. None
    says that it is not known what it began: then all of them count, for any of them may have run.
    """
    for execution_id, row_id, fence in orphans:
        never_ran = begun is not None and (row_id, fence) not in begun
        try:
            _hand_back(execution_id, row_id, fence, worker, never_ran=never_ran)
            _not_given_back.discard((row_id, fence))
        except Exception:
            # One broken run must not keep this process from its other work; the parent looks again.
            logger.exception("block execution %s cannot be handed back yet", row_id)
            if not never_ran:
                _not_given_back.add((row_id, fence))


def _hand_back(execution_id: int, row_id: int, fence: int, worker: UUID, *, never_ran: bool) -> None:
    limit_id = persistently(partial(give_back_claimed, row_id, worker))
    if limit_id is not None:
        hand_on(limit_id)
    aftermath = persistently(partial(take_back, execution_id, [(row_id, fence)], never_ran=never_ran))
    follow_up(aftermath, execution_id)


def work_on(claim: Claim) -> Outcome:
    """Do a block's work and say how it ended; whatever goes wrong is the block's failure, not the worker's."""
    try:
        return _work_on(claim)
    except DATABASE_GONE:
        raise
    except Exception as error:
        logger.exception("block %s of %s broke its worker", claim.node, claim.execution_public_id)
        message = f"{type(error).__name__}: {error}"
        described = _error(ErrorType.SYSTEM_ERROR, message, {}, False, traceback.format_exc())
        return Failed(described, ())


def advised(claim: Claim, failed: Failed) -> Failed:
    """Return a failure with a model's advice on it, where its block wants some; why there is none goes to the log."""
    advice, why_not = advice_on(claim, failed.error)
    if not why_not:
        return replace(failed, advice=advice)
    line = LogLine("WARNING", f"No model advised on this failure: {why_not}")
    return replace(failed, logs=(*failed.logs, (timezone.now(), line)))


def _work_on(claim: Claim) -> Outcome:
    compiled = compiled_version(claim.version_id)
    node = compiled.plan.nodes[claim.node]
    live = LiveOutput(claim)
    logs = live.unwritten
    block = node.block
    if block is None:
        return _decide(claim)
    block = work_of(block, undoes=claim.undoes, stand_in=claim.stand_in)
    log_lines.block_started(
        claim.execution_public_id, block.block_id, claim.agent_id or None, claim.retries + 1
    )
    if claim.unfit_input is not None:
        return _failed(ErrorType.CONFIGURATION_ERROR, f"configuration: {claim.unfit_input}", logs)
    if block.for_each is not None and not claim.is_item:
        return _work_on_map(claim, block)
    extra: dict[str, JsonValue] = {}
    reviewed = is_reviewed(block, compiled.definition.global_settings.human_in_loop_defaults)
    try:
        if block.asks_people and not reviewed:
            gate = human_gate()(_block_work(claim, block))
            if isinstance(gate, Ask):
                return gate
            extra = dict(gate.output_extra)
            if not block.has_tool:
                # A step that is nothing but the question is done when the answer stands.
                return Result(BlockStatus.COMPLETED, output=extra, logs=logs)
        if reviewed and not block.has_tool:
            answer: Result | Park | Postpone = Result(BlockStatus.COMPLETED, output=to_review(claim.input))
        else:
            answer = _do_work(claim, node, block, live)
        if reviewed and isinstance(answer, Result):
            return _review(claim, block, answer, live)
    except (ToolError, BlockTimeout) as error:
        return _failure(tool_error_from(error), logs)
    if isinstance(answer, Postpone):
        return answer
    if isinstance(answer, Park):
        return replace(answer, output_extra=extra)
    if extra and isinstance(answer.output, dict):
        return replace(answer, output={**extra, **answer.output})
    return answer


def _decide(claim: Claim) -> Outcome:
    """Answer the question of a DECIDE node; what nobody foresaw fails it, for it has no policy of recovery."""
    try:
        return decider()(claim)
    except DATABASE_GONE:
        raise
    except Exception as error:
        logger.exception("the decision %s of %s broke its worker", claim.node, claim.execution_public_id)
        message = f"{type(error).__name__}: {error}"
        described = _error(ErrorType.SYSTEM_ERROR, message, {}, False, traceback.format_exc())
        return Result(BlockStatus.FAILED, error=described)


def _do_work(claim: Claim, node: Node, block: Block, live: LiveOutput) -> Result | Park | Postpone:
    match block.tool_type:
        case ToolType.WAIT:
            return begin_wait(_block_work(claim, block))
        case ToolType.SUBWORKFLOW:
            return begin_child(_block_work(claim, block))
        case _:
            with live:
                output = _invoke(claim, node, block, live)
    if isinstance(output, Postpone):
        return output
    if isinstance(output, Accepted):
        live.write_rest()
        return await_callback(block)
    return Result(BlockStatus.COMPLETED, output=output, logs=live.unwritten)


def _review(claim: Claim, block: Block, made: Result, live: LiveOutput) -> Result | Ask:
    """Let people look at what a block made; where somebody has said yes to just that, it is done."""
    gate = review_gate()(_block_work(claim, block), made.output)
    if isinstance(gate, Reviewed):
        return replace(made, output=gate.output)
    live.write_rest()
    return gate


def _work_on_map(claim: Claim, block: Block) -> Result | BeginMap:
    """Begin a map, or collect it once its items have ended."""
    items = claim.input if isinstance(claim.input, list) else []
    collected = collect_map(claim.execution_id, claim.block_execution_id, block)
    if collected is not None:
        return collected
    return BeginMap(block, items) if items else Result(BlockStatus.COMPLETED, output=map_output([]))


def write_outcome(claim: Claim, outcome: Outcome, continue_as: tuple[UUID, str] | None) -> Aftermath:
    """Write how a block's work ended, in the transaction that is for it."""
    match outcome:
        case Result():
            return finish_block(claim, outcome, continue_as=continue_as)
        case Failed():
            return recover(claim, outcome.error, outcome.logs, outcome.advice)
        case Ask():
            person = BlockExecution.WaitsFor.PERSON
            return park(
                claim,
                waits_for=person,
                wait_key=outcome.wait_key,
                record=outcome.record,
                proposed=outcome.proposed,
                output_extra=outcome.output_extra,
            )
        case Park():
            return park(
                claim,
                waits_for=outcome.waits_for,
                wait_key=outcome.wait_key,
                due_in_s=outcome.due_in_s,
                due_at=outcome.due_at,
                event_data=outcome.event_data,
                then=outcome.then,
                output_extra=outcome.output_extra,
            )
        case BeginMap():
            return begin_map(claim, outcome.block, outcome.items)
        case Postpone():
            return postpone(claim, outcome.due_in_s, outcome.event_data)


def _invoke(claim: Claim, node: Node, block: Block, live: LiveOutput) -> JsonValue | Accepted | Postpone:
    with secrets_in_use(claim, node) as secrets:
        work = work_for(claim, block, secrets.configuration, secrets.fill)
        kept = NOT_KEPT if block.cache is None else _kept_output(claim, block, work)
        if (found := kept.find()) is not None:
            secrets.log_to(live.log)(
                LogLine("INFO", "The output of the same work, done before, serves again")
            )
            return found["output"]
        call = (
            AgentCall(claim.workspace_id, work.agent, str(claim.block_execution_id)) if work.agent else None
        )
        wait_s = call.wait_s() if call else 0.0
        if wait_s > SHORT_WAIT_S:
            return Postpone(wait_s, {"waitsFor": "rate", "agentId": claim.agent_id})
        time.sleep(wait_s)
        allowed_s = timeout_s(block)
        key = idempotency_key(claim, block)
        invocation = Invocation(
            tool_type=work.tool_type,
            configuration=work.configuration,
            timeout_s=allowed_s,
            idempotency_key=key,
            execution_id=claim.execution_public_id,
            block_id=block.block_id,
            workspace_id=workspace_public_id(claim.workspace_id),
            log=secrets.log_to(live.log),
            stopped=StopCheck(claim),
            progress=secrets.progress_to(live.progress),
            files=ArtifactsOfRun(
                claim.workspace_id,
                claim.execution_public_id,
                block.block_id,
                key,
                compiled_version(claim.version_id).pinned,
            ),
            callback_url=Try(claim.block_execution_id, claim.recoveries).url(claim.execution_public_id),
            conceal=secrets.conceal,
            origin=partial(_origin, claim),
        )
        grace_s = 0.0 if work.tool_type is ToolType.USE_CASE else TIMEOUT_GRACE_S
        load_runtime(work.tool_type)
        with time_limit(allowed_s, grace_s):
            output = call.run(invocation, tool_limits()) if call else invoke(invocation, tool_limits())
        if isinstance(output, Accepted):
            return output
        shown = secrets.output(output)
        kept.keep(shown)
        return shown


def _kept_output(claim: Claim, block: Block, work: Work) -> KeptOutput:
    compiled = compiled_version(claim.version_id)
    defaults = compiled.definition.global_settings.human_in_loop_defaults
    return kept_output(
        claim,
        block,
        work,
        workspace_id=workspace_public_id(claim.workspace_id),
        pinned=compiled.pinned,
        asks_people=block.asks_people or is_reviewed(block, defaults),
    )


def _origin(claim: Claim) -> Origin:
    starters = Execution.objects.filter(pk=claim.execution_id).values_list("created_by_id", flat=True)
    return Origin(starters.first(), compiled_version(claim.version_id).template_id)


class StopCheck:
    """Says whether a claim's work is wanted no more; looks at most once in ``STOP_CHECK_INTERVAL_S``."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._looked_at = time.monotonic()
        self._stopped = False

    def __call__(self) -> bool:
        due = time.monotonic() - self._looked_at >= STOP_CHECK_INTERVAL_S
        # A use case in a transaction of its own, or on another thread, is not disturbed in it.
        main = threading.current_thread() is threading.main_thread()
        if due and main and not self._stopped and not connection.in_atomic_block:
            self._looked_at = time.monotonic()
            try:
                self._stopped = not is_wanted(self._claim.block_execution_id, self._claim.fence)
            except DATABASE_GONE:
                connection.close()
        return self._stopped


def idempotency_key(claim: Claim, block: Block) -> str:
    """Return the key that an agent sees: the same for every try of one generation of a block.

    Work in place of the block's own, other input, and work that undoes have keys of their own.
    """
    scope, index = claim.place.scope, claim.place.index
    other = (":undo" if claim.undoes else "") + (f":{claim.variant}" if claim.variant else "")
    return f"{claim.execution_public_id}:{scope}:{block.block_id}:{index}:{claim.generation}{other}"


@contextmanager
def time_limit(seconds: float, grace_s: float = 0.0) -> Iterator[None]:
    """Raise ``BlockTimeout`` in this thread after ``seconds`` and the grace; only the main one can be stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: object) -> None:
        raise BlockTimeout(f"no result within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds + grace_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _failure(error: ToolError, logs: Logs) -> Failed:
    described = _error(error.error_type, error.message, error.details, error.retryable, error.stack_trace)
    return Failed(described, logs)


def _failed(error_type: ErrorType, message: str, logs: Logs) -> Failed:
    return Failed(_error(error_type, message, {}, False, ""), logs)


def _error(
    error_type: ErrorType, message: str, details: dict[str, JsonValue], retryable: bool, stack_trace: str
) -> Error:
    return {
        "type": error_type,
        "message": message,
        "details": details,
        "retryable": retryable,
        "stackTrace": stack_trace,
    }


def _block_work(claim: Claim, block: Block) -> BlockWork:
    return BlockWork(
        execution_id=claim.execution_id,
        execution_public_id=claim.execution_public_id,
        workspace_id=claim.workspace_id,
        workspace_public_id=workspace_public_id(claim.workspace_id),
        block_execution_id=claim.block_execution_id,
        fence=claim.fence,
        block=block,
        input=claim.input,
        input_sha256=input_sha256(claim.input),
    )


@cache
def workspace_public_id(workspace_id: int) -> str:
    """Return a workspace's public id; it never changes."""
    return Workspace.objects.values_list("public_id", flat=True).get(pk=workspace_id)

"""Running blocks in a worker: claim, work outside any transaction, finish, go on with the next one in place.

A worker process runs one block at a time. Whatever happens to it, the truth is in Postgres: a result that cannot be
written is tried again until the database answers, and a result whose fence is outdated is thrown away.
"""

import json
import logging
import random
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from hashlib import sha256
from typing import TypeVar
from uuid import UUID

from django.db import Error as DjangoDatabaseError
from django.db import connection
from django.utils import timezone
from pydantic import JsonValue

from executions_app.aftermath import follow_up, settle_again
from executions_app.claiming import claim_block, find_orphans
from executions_app.finishing import Aftermath, Logs, Result, finish_block
from executions_app.handlers import Ask, BlockWork, human_gate
from executions_app.map_results import collect_map, map_output
from executions_app.parking import begin_map, retry_later, take_back, wait_for_person
from executions_app.progress import Claim
from executions_app.settlement import Error
from executions_app.transaction import DATABASE_GONE
from executions_app.worker_identity import worker_id
from templates_app.plans import CompiledVersion, compiled_version
from workflow_service.accounts.models import Workspace
from workflow_service.agents.errors import ToolError, tool_error_from
from workflow_service.agents.invocation import Invocation, LogLine
from workflow_service.agents.limits import tool_limits
from workflow_service.agents.runtimes import invoke
from workflow_service.engine.definition import Block, RetryPolicy
from workflow_service.engine.retry import decide_retry
from workflow_service.engine.states import BlockStatus, ErrorType, ToolType
from workflow_service.settings.config import get_config

logger = logging.getLogger(__name__)

TIME_SLICE_S = 5.0
DATABASE_RETRY_MAX_S = 2.0
# Scripts and requests keep their own time, and need some to clean up; the alarm ends what does not.
TIMEOUT_GRACE_S = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The work failed and is to be tried again in ``delay_s`` seconds."""

    error: Error
    delay_s: float
    logs: Logs


@dataclass(frozen=True, slots=True)
class BeginMap:
    """The block is a map whose items are to run."""

    block: Block
    items: list[JsonValue]


class BlockTimeout(TimeoutError):
    """The block did not end within its timeout."""


def run_blocks(execution_id: int, block_execution_id: int, queue: str) -> int:
    """Run a queued block and, in place, what follows it; returns how many were run.

    Nothing to claim is no error: a duplicate or late message does nothing.
    """
    worker = persistently(worker_id)
    answer = persistently(lambda: claim_block(execution_id, block_execution_id, worker))
    if answer.orphans:
        hand_back(answer.orphans)
    done, clean = 0, False
    try:
        if answer.unsettled:
            settle_again(execution_id, str(execution_id))
        done, clean = _run_in_place(answer.claim, worker, queue)
    finally:
        # What this process is not working on must not wait for it.
        if not clean:
            hand_back(persistently(lambda: find_orphans(worker)))
    return done


def _run_in_place(claim: Claim | None, worker: UUID, queue: str) -> tuple[int, bool]:
    """Run a claimed block and what follows; returns how many, and whether every result was accepted."""
    done, clean = 0, True
    slice_ends = time.monotonic() + TIME_SLICE_S
    while claim is not None:
        outcome = persistently(partial(work_on, claim))
        continue_as = (worker, queue) if time.monotonic() < slice_ends else None
        aftermath = persistently(partial(_write, claim, outcome, continue_as))
        done += 1
        clean = clean and aftermath.accepted
        next_claim = follow_up(aftermath, claim.execution_id, continue_as)
        claim = aftermath.claim or next_claim
    return done, clean


def hand_back(orphans: list[tuple[int, int, int]]) -> None:
    """Give back blocks that were claimed for this worker although it never learned of it."""
    for execution_id, row_id, fence in orphans:
        aftermath = persistently(partial(take_back, execution_id, [(row_id, fence)]))
        follow_up(aftermath, execution_id)


def persistently(operation: Callable[[], T]) -> T:
    """Call ``operation`` until the database answers; used where a result must not be lost.

    A commit whose answer was lost is repeated and finds its fence outdated, so repeating is harmless.
    """
    delay_s = 0.05
    while True:
        try:
            return operation()
        except DATABASE_GONE as error:
            logger.warning("the database did not answer, trying again in %.1f s: %s", delay_s, error)
            try:
                connection.close()
            except DjangoDatabaseError:
                logger.debug("the broken connection could not be closed")
            time.sleep(delay_s)
            delay_s = min(DATABASE_RETRY_MAX_S, delay_s * 2)


def work_on(claim: Claim) -> Result | RetryLater | Ask | BeginMap:
    """Do a block's work and say how it ended; whatever goes wrong is the block's failure, not the worker's."""
    try:
        return _work_on(claim)
    except DATABASE_GONE:
        raise
    except Exception as error:
        logger.exception("block %s of %s broke its worker", claim.node, claim.execution_public_id)
        message = f"{type(error).__name__}: {error}"
        described = _error(ErrorType.SYSTEM_ERROR, message, {}, False, traceback.format_exc())
        return Result(BlockStatus.FAILED, error=described)


def _work_on(claim: Claim) -> Result | RetryLater | Ask | BeginMap:
    compiled = compiled_version(claim.version_id)
    node = compiled.plan.nodes[claim.node]
    logs: list[tuple[datetime, LogLine]] = []
    block = node.block
    if block is None:
        message = f"'{node.id}' asks a language model, and none is configured"
        return _failed(ErrorType.CONFIGURATION_ERROR, message, logs)
    if claim.unfit_input is not None:
        return _failed(ErrorType.CONFIGURATION_ERROR, f"configuration: {claim.unfit_input}", logs)
    if block.for_each is not None and not claim.is_item:
        return _work_on_map(claim, block)
    extra: dict[str, JsonValue] = {}
    try:
        if block.asks_people:
            answer = human_gate()(_block_work(claim, block))
            if isinstance(answer, Ask):
                return answer
            extra = dict(answer.output_extra)
            if not block.has_tool:
                # A step that is nothing but the question is done when the answer stands.
                return Result(BlockStatus.COMPLETED, output=extra, logs=logs)
        output = _invoke(claim, block, logs)
    except (ToolError, BlockTimeout) as error:
        return _failure(claim, block, compiled, tool_error_from(error), logs)
    if extra and isinstance(output, dict):
        output = {**extra, **output}
    return Result(BlockStatus.COMPLETED, output=output, logs=logs)


def _work_on_map(claim: Claim, block: Block) -> Result | BeginMap:
    """Begin a map, or collect it once its items have ended."""
    items = claim.input if isinstance(claim.input, list) else []
    collected = collect_map(claim.execution_id, claim.block_execution_id, block)
    if collected is not None:
        return collected
    return BeginMap(block, items) if items else Result(BlockStatus.COMPLETED, output=map_output([]))


def _write(
    claim: Claim, outcome: Result | RetryLater | Ask | BeginMap, continue_as: tuple[UUID, str] | None
) -> Aftermath:
    match outcome:
        case Result():
            return finish_block(claim, outcome, continue_as=continue_as)
        case RetryLater():
            return retry_later(claim, outcome.error, outcome.logs, outcome.delay_s)
        case Ask():
            return wait_for_person(claim, outcome.record)
        case BeginMap():
            return begin_map(claim, outcome.block, outcome.items)


def _invoke(claim: Claim, block: Block, logs: list[tuple[datetime, LogLine]]) -> JsonValue:
    if block.tool_type is None or not isinstance(claim.input, dict):
        raise ToolError(ErrorType.CONFIGURATION_ERROR, f"block '{block.block_id}' has no tool to run")
    timeout_s = (block.timeout or get_config().workflow_default_timeout_ms) / 1_000
    invocation = Invocation(
        tool_type=block.tool_type,
        configuration=claim.input,
        timeout_s=timeout_s,
        idempotency_key=idempotency_key(claim, block),
        execution_id=claim.execution_public_id,
        block_id=block.block_id,
        workspace_id=workspace_public_id(claim.workspace_id),
        log=lambda line: logs.append((timezone.now(), line)),
    )
    grace_s = 0.0 if block.tool_type is ToolType.USE_CASE else TIMEOUT_GRACE_S
    with time_limit(timeout_s, grace_s):
        return invoke(invocation, tool_limits())


def idempotency_key(claim: Claim, block: Block) -> str:
    """Return the key that an agent sees: the same for every try of one generation of a block."""
    scope, index = claim.place.scope, claim.place.index
    return f"{claim.execution_public_id}:{scope}:{block.block_id}:{index}:{claim.generation}"


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


def _failure(
    claim: Claim, block: Block, compiled: CompiledVersion, error: ToolError, logs: Logs
) -> Result | RetryLater:
    policy = block.retry_policy or compiled.definition.global_settings.default_retry_policy
    retry_after = error.details.get("retryAfterS")
    decision = decide_retry(
        policy or RetryPolicy(max_retries=get_config().workflow_retry_attempts),
        error_type=error.error_type,
        retryable=error.retryable,
        retries_so_far=claim.retries,
        jitter=random.random(),  # noqa: S311 - spreads load, hides nothing
        retry_after_s=float(retry_after) if isinstance(retry_after, int | float) else None,
    )
    described = _error(error.error_type, error.message, error.details, error.retryable, error.stack_trace)
    if decision.retry:
        return RetryLater(described, decision.delay_s, logs)
    return Result(BlockStatus.FAILED, error=described, logs=logs)


def _failed(error_type: ErrorType, message: str, logs: Logs) -> Result:
    return Result(BlockStatus.FAILED, error=_error(error_type, message, {}, False, ""), logs=logs)


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
        input_sha256=sha256(json.dumps(claim.input, sort_keys=True).encode()).hexdigest(),
    )


@cache
def workspace_public_id(workspace_id: int) -> str:
    """Return a workspace's public id; it never changes."""
    return Workspace.objects.values_list("public_id", flat=True).get(pk=workspace_id)

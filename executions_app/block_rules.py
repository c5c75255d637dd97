"""What a block and the configuration say about its time, in that order; and whether its output is reviewed."""

from typing import Any

from templates_app.plans import CompiledVersion
from workflow_service.engine.approval import is_reviewed
from workflow_service.engine.definition import Block
from workflow_service.settings.config import get_config

# A worker ends its block by itself when the time is over, and needs a moment to write that down. Who still runs so
# long after it cannot be stopped by a signal that it may block, only killed.
KILL_AFTER_S = 10.0


def timeout_s(block: Block | None) -> float:
    """Return the seconds that one try of a block may take."""
    given_ms = None if block is None else block.timeout
    return (given_ms or get_config().workflow_default_timeout_ms) / 1_000


def hard_end_s(block: Block | None) -> float:
    """Return the seconds after its start at which a block's process is killed."""
    return timeout_s(block) + KILL_AFTER_S


def output_is_reviewed(compiled: CompiledVersion, row: Any) -> bool:
    """Return whether people look at what a row (``node``, ``kind``) makes before it counts; of a map at each item."""
    block = compiled.plan.nodes[row.node].block
    if block is None or row.kind == "undo" or (block.for_each is not None and row.kind != "item"):
        return False
    return is_reviewed(block, compiled.definition.global_settings.human_in_loop_defaults)

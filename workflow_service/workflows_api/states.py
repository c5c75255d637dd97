"""The states of a workflow as document B section 6.4 has them, and its graph on one line."""

from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from templates_app.graph import EdgeStyle, graph_of
from workflow_service.engine.definition import Block, Definition, RetryPolicy
from workflow_service.engine.documents import CALLBACK_TYPES
from workflow_service.engine.dsl import render_dsl
from workflow_service.engine.states import ToolType
from workflow_service.settings.config import get_config

# Of several words for one kind of work document B's own comes first.
_CALLBACKS: Mapping[ToolType, str] = {
    tool_type: name for name, tool_type in reversed(list(CALLBACK_TYPES.items()))
}


class StateType(StrEnum):
    """What follows a state: one other, several at once, or one that conditions choose.

    START and END are the two that are no blocks, and are not listed.
    """

    START = "start"
    INTERMEDIATE = "intermediate"
    END = "end"
    PARALLEL = "parallel"
    CONDITIONAL = "conditional"


def state_documents(definition: Definition) -> list[dict[str, Any]]:
    """Return the states of a definition, in its order."""
    ways: dict[str, list[EdgeStyle]] = defaultdict(list)
    for edge in graph_of(definition).edges:
        ways[edge.source].append(edge.style)
    common = definition.global_settings.default_retry_policy or RetryPolicy(
        max_retries=get_config().workflow_retry_attempts
    )
    return [
        {
            "name": block.block_id,
            "type": _type_of(ways[block.block_id]),
            "description": block.description or block.name or "",
            "callback_type": _callback_of(block),
            "callback_config": dict(block.configuration),
            "timeout_seconds": (block.timeout or get_config().workflow_default_timeout_ms) / 1_000,
            "retry_policy": (block.retry_policy or common).model_dump(mode="json", by_alias=True),
        }
        for block in definition.blocks
    ]


def one_line_dsl(definition: Definition) -> str:
    """Return the graph as DSL on one line, as document B's answers have it."""
    # What is no end of a transition stands inside a condition, where a blank is as good.
    return render_dsl(definition).replace(";\n", ";").replace("\n", " ").rstrip()


def _type_of(ways: list[EdgeStyle]) -> StateType:
    if EdgeStyle.CONDITION in ways:
        return StateType.CONDITIONAL
    return StateType.PARALLEL if ways.count(EdgeStyle.NORMAL) > 1 else StateType.INTERMEDIATE


def _callback_of(block: Block) -> str | None:
    if block.tool_type is not None:
        return _CALLBACKS[block.tool_type]
    if block.has_tool:
        return "agent"
    return _CALLBACKS[ToolType.HUMAN] if block.asks_people else None

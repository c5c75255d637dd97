"""Outputs that serve again: of blocks whose definition says ``cache``, in one workspace, for the time it gives.

An output is kept under what shaped it: the tool, its whole configuration, the agent, and the contents of the files that
the version is pinned to. It is kept in Redis, which may lose it or not answer: then the work is done. Only a block's
own first try looks for one; a retry, a restart, what stands in for the work, what undoes it, and what people are asked
about do the work itself.
"""

from dataclasses import dataclass

from pydantic import JsonValue

from executions_app.agent_work import Work
from executions_app.progress import Claim
from workflow_service.ai.answer_cache import cache_key, find_answer, keep_answer
from workflow_service.engine.definition import Block, JsonObject
from workflow_service.engine.json_values import json_size

PREFIX = "block_cache:"
MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class KeptOutput:
    """Where one piece of work has its output; ``key`` None: it is always done."""

    key: str | None
    ttl_ms: int = 0
    may_serve: bool = False

    def find(self) -> dict[str, JsonValue] | None:
        """Return what was kept as ``{"output": ...}``; None where the work is to be done."""
        return find_answer(self.key) if self.key and self.may_serve else None

    def keep(self, output: JsonValue) -> None:
        """Keep what the work gave, if it is not too large."""
        if self.key and json_size(output) <= MAX_BYTES:
            keep_answer(self.key, {"output": output}, self.ttl_ms)


NOT_KEPT = KeptOutput(None)


def kept_output(
    claim: Claim, block: Block, work: Work, *, workspace_id: str, pinned: JsonObject, asks_people: bool
) -> KeptOutput:
    """Return where the output of a claim's work is kept, if it is."""
    if block.cache is None or asks_people or claim.undoes or claim.stand_in:
        return NOT_KEPT
    key = cache_key(
        PREFIX,
        workspace=workspace_id,
        tool=work.tool_type.value,
        configuration=work.configuration,
        agent=work.agent.agent_id if work.agent else "",
        pinned=pinned,
    )
    is_first = claim.generation == 1 and not (claim.retries or claim.recoveries)
    return KeptOutput(key, block.cache.ttl, may_serve=is_first)

"""Blocks that are given the same again and again, and make the same of it.

Only work that changes nothing outside and gave one output for one input every time is proposed; where the runs lie
closer together than the proposed time, the replay finds the answers that would have been at hand.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace

from workflow_service.advisor.editing import with_fields
from workflow_service.advisor.ideas import Case, Idea
from workflow_service.advisor.recordings import RecordedBlock, Recordings, Try
from workflow_service.advisor.vocabulary import Effort, Kind, Measure, Type
from workflow_service.advisor.wording import doubt, share
from workflow_service.engine.definition import Block
from workflow_service.engine.recommendations import Effect
from workflow_service.engine.states import BlockStatus, ToolType

TTL_MS = 3_600_000
# What it takes to look an answer up.
LOOK_UP_S = 0.005
LEAST_REPEATED = 0.3
LEAST_WORKED = 20
WORKERS = frozenset({ToolType.API, ToolType.USE_CASE, ToolType.SCRIPT, ToolType.MCP, ToolType.LLM})


def cache(case: Case, effect: Effect = Effect.NONE) -> Iterator[Idea]:
    """Yield an idea for each block with this effect whose answers could serve again."""
    for block in case.definition.blocks:
        if not _may_serve_again(block) or case.effects.get(block.block_id, Effect.UNKNOWN) is not effect:
            continue
        worked = [each for each in case.recordings.worked(block.block_id) if not each.failed]
        answers: dict[str, set[str]] = defaultdict(set)
        for each in worked:
            answers[each.given].add(each.made)
        given = Counter(each.given for each in worked)
        repeated = sum(given.values()) - len(given)
        is_steady = all(len(made) == 1 for made in answers.values())
        if len(worked) >= LEAST_WORKED and is_steady and repeated >= LEAST_REPEATED * len(worked):
            yield _idea(case, block, len(worked), repeated, len(given))


def _may_serve_again(block: Block) -> bool:
    return (
        block.cache is None
        and block.for_each is None
        and not block.asks_people
        and block.tool_type in WORKERS
    )


def _idea(case: Case, block: Block, worked: int, repeated: int, different: int) -> Idea:
    name = block.block_id
    seconds = case.recordings.mean_seconds(name)
    harmless = case.effects.get(name) is Effect.NONE
    outside = ", and changes nothing outside" if harmless else ""
    cost = sum(each.cost_usd for each in case.recordings.worked(name))
    return Idea(
        Kind.CACHE,
        Type.COST if cost else Type.PERFORMANCE,
        Measure.COST if cost else Measure.DURATION,
        (name,),
        f"Keep the answers of '{name}'",
        f"'{name}' was given what it had been given before in {share(repeated, worked)} runs, and gave the same each "
        f"time ({different} different inputs). It takes {seconds:.1f} s{outside}.",
        lambda: with_fields(case.definition, name, cache={"ttl": TTL_MS}),
        Effort.LOW if harmless else Effort.MEDIUM,
        {"cache": {"block": name, "ttl": TTL_MS}},
        {
            "worked": worked,
            "repeated": repeated,
            "differentInputs": different,
            "meanSeconds": round(seconds, 3),
        },
        rewrite=lambda recordings: with_answers_kept(recordings, name, TTL_MS / 1_000),
        condition=doubt(case.effects.get(name), f"'{name}' changes nothing"),
    )


def with_answers_kept(recordings: Recordings, name: str, ttl_s: float) -> Recordings:
    """Return the runs as they would have been with the block's answers kept for so many seconds."""
    kept_until: dict[str, float] = {}

    def answered(block: RecordedBlock, begun_s: float) -> RecordedBlock:
        if block.block_id != name or block.status != BlockStatus.COMPLETED:
            return block
        if kept_until.get(block.given, float("-inf")) >= begun_s:
            return replace(block, tries=(Try(LOOK_UP_S),), cost_usd=0.0)
        kept_until[block.given] = begun_s + ttl_s
        return block

    answered_runs = tuple(
        replace(run, blocks=tuple(answered(block, run.begun_s) for block in run.blocks))
        for run in sorted(recordings.runs, key=lambda run: run.begun_s)
    )
    return replace(recordings, runs=answered_runs)

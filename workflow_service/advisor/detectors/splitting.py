"""One slow block over a list, whose time grows with the list: as a map its items work side by side.

A map gives its items' outputs under ``results``; so it is proposed only where nobody reads what the block gives now.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from workflow_service.advisor.editing import with_fields
from workflow_service.advisor.ideas import Case, Idea
from workflow_service.advisor.recordings import RecordedBlock, Recordings, Try, mean
from workflow_service.advisor.vocabulary import Effort, Kind, Measure, Type
from workflow_service.advisor.wording import doubt, share
from workflow_service.engine.definition import Block
from workflow_service.engine.paths import Root
from workflow_service.engine.recommendations import Effect
from workflow_service.engine.states import BlockStatus, ToolType

LEAST_RUNS = 20
LEAST_ITEMS = 4
# An item of a map begins by a message of its own; work that is over sooner is better done in a row.
LEAST_ITEM_S = 0.25
LEAST_CORRELATION = 0.8
MOST_FIXED = 0.3
LEAST_SHARE = 0.2
WORKERS = frozenset({ToolType.API, ToolType.USE_CASE, ToolType.SCRIPT, ToolType.MCP, ToolType.LLM})


@dataclass(frozen=True, slots=True)
class Growth:
    """Seconds by the length of a list: what each item takes, what the rest does, and how well that fits (0 to 1)."""

    item_s: float
    fixed_s: float
    correlation: float


def split(case: Case) -> Iterator[Idea]:
    """Yield an idea for each block that works a list off one by one."""
    whole = mean(run.seconds for run in case.recordings.runs)
    for block in case.definition.blocks:
        if not _may_be_split(case, block) or _is_read(case, block.block_id):
            continue
        for key, value in block.configuration.items():
            if not (isinstance(value, str) and value.startswith("${") and value.endswith("}")):
                continue
            done = [
                each
                for each in case.recordings.worked(block.block_id)
                if key in each.lists and not each.failed and len(each.lists) == 1
            ]
            lengths = [each.lists[key] for each in done]
            seconds = [each.seconds for each in done]
            if len(done) < LEAST_RUNS or mean(lengths) < LEAST_ITEMS or mean(seconds) < LEAST_SHARE * whole:
                continue
            growth = _growth(lengths, seconds)
            if growth.item_s < LEAST_ITEM_S:
                continue
            if growth.correlation >= LEAST_CORRELATION and growth.fixed_s <= MOST_FIXED * mean(seconds):
                yield _idea(case, block, key, growth, lengths)


def _may_be_split(case: Case, block: Block) -> bool:
    return (
        block.for_each is None
        and block.tool_type in WORKERS
        and not block.asks_people
        and block.output_mapping is None
        and not block.conditions.branches
        and case.effects.get(block.block_id, Effect.UNKNOWN) is not Effect.SOME
    )


def _is_read(case: Case, name: str) -> bool:
    writer = case.graph.node_by_id[name]
    for read in case.reads:
        path = read.path
        if path.root is Root.OUTPUT and path.name == name:
            return True
        is_name = path.root in (Root.NAME, Root.CONTEXT) and path.name not in read.own
        if is_name and case.writes.may_write(writer, path.name):
            return True
    return False


def _growth(lengths: Sequence[float], seconds: Sequence[float]) -> Growth:
    """Return the least-squares line of seconds over lengths."""
    n, t = mean(lengths), mean(seconds)
    spread = sum((each - n) ** 2 for each in lengths)
    scatter = sum((each - t) ** 2 for each in seconds)
    together = sum((a - n) * (b - t) for a, b in zip(lengths, seconds, strict=True))
    if not spread or not scatter:
        return Growth(0.0, t, 0.0)
    item = together / spread
    return Growth(item, max(0.0, t - item * n), together / (spread * scatter) ** 0.5)


def _idea(case: Case, block: Block, key: str, growth: Growth, lengths: Sequence[int]) -> Idea:
    name = block.block_id
    items = str(block.configuration[key])
    whole = mean(run.seconds for run in case.recordings.runs)
    seconds = case.recordings.mean_seconds(name)

    def mapped(one: RecordedBlock) -> RecordedBlock:
        length = one.lists.get(key, 0)
        if one.status != BlockStatus.COMPLETED or not length:
            return one
        each = growth.fixed_s + max(0.0, one.seconds - growth.fixed_s) / length
        return replace(one, tries=(Try(0.0),), items=(each,) * length)

    def rewritten(recordings: Recordings) -> Recordings:
        return recordings.with_block(name, mapped)

    return Idea(
        Kind.SPLIT,
        Type.PERFORMANCE,
        Measure.DURATION,
        (name,),
        f"Let '{name}' work on its items side by side",
        f"'{name}' takes {growth.item_s:.2f} s for each of the {mean(lengths):.0f} items that '{key}' has on average: "
        f"{seconds:.1f} s, {seconds / whole:.0%} of a run. Nobody reads what it gives, so that it can be a map, whose "
        f"output lists the items' outputs as 'results'.",
        lambda: with_fields(
            case.definition, name, forEach=items, configuration={**block.configuration, key: ["${item}"]}
        ),
        Effort.MEDIUM,
        {"forEach": {"block": name, "items": items, "parameter": key}},
        {
            "secondsPerItem": round(growth.item_s, 4),
            "fixedSeconds": round(growth.fixed_s, 4),
            "correlation": round(growth.correlation, 3),
            "meanItems": round(mean(lengths), 1),
            "runs": share(len(lengths), len(case.recordings.runs)),
        },
        rewrite=rewritten,
        condition=doubt(
            case.effects.get(name), f"'{name}' may do its items in any order, and one without the others"
        ),
    )

"""Recorded runs for tests of the advisor, made by a scheduler of their own: no slots, no loops, one pass in order.

What a block does in a run says ``work``; everything else follows from the graph. The replay is not asked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workflow_service.advisor.ideas import Case, ModelPrice
from workflow_service.advisor.recordings import RecordedBlock, RecordedRun, Recordings, Try
from workflow_service.engine.documents import load_definition
from workflow_service.engine.graph import END_NODE, NodeKind
from workflow_service.engine.levels import topological_order
from workflow_service.engine.plan import Plan, compile_plan
from workflow_service.engine.recommendations import Effect
from workflow_service.engine.states import BlockStatus


@dataclass(frozen=True)
class Did:
    """What a block did in one run. ``to``: the ways it took, None for all of them; ``error``: what it failed with."""

    seconds: float = 1.0
    error: str = ""
    to: frozenset[str] | None = None
    tries: tuple[Try, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


Work = Callable[[str, int], Did]


def case_of(
    blocks: list[dict[str, Any]],
    work: Work,
    *,
    runs: int = 40,
    effects: Mapping[str, Effect] | None = None,
    writes: Mapping[str, set[str]] | None = None,
    models: tuple[ModelPrice, ...] = (),
    **definition: Any,
) -> Case:
    """Return a workflow with so many recorded runs. Blocks change nothing outside and give what ``writes`` says."""
    plan = plan_of(blocks, **definition)
    read = plan.definition
    recorded = Recordings(tuple(_run(plan, work, number) for number in range(runs)))
    names = [block.block_id for block in read.blocks]
    return Case(
        read,
        recorded,
        {name: (effects or {}).get(name, Effect.NONE) for name in names},
        {name: frozenset((writes or {}).get(name, {f"{name}_made"})) for name in names},
        models,
    )


def plan_of(blocks: list[dict[str, Any]], **definition: Any) -> Plan:
    """Return the plan of blocks; those that name no work do none."""
    work = {"toolType": "NOOP"}
    return compile_plan(load_definition({"blocks": [{**work, **block} for block in blocks], **definition}))


def _run(plan: Plan, work: Work, number: int) -> RecordedRun:
    ends: dict[int, float] = {}
    taken: dict[int, frozenset[str]] = {}
    begun: list[tuple[float, RecordedBlock]] = []
    failed = False
    for index in topological_order(plan.nodes, plan.edges):
        node = plan.nodes[index]
        sources = [plan.edges[edge].source for edge in node.in_edges]
        arrived = [source for source in sources if node.id in taken.get(source, ())]
        if failed or (sources and not arrived):
            continue
        begin = max((ends[source] for source in arrived), default=0.0)
        targets = frozenset(
            "end" if plan.edges[edge].target == END_NODE else plan.nodes[plan.edges[edge].target].id
            for edge in node.normal_edges
        )
        did = Did(0.0) if node.kind is NodeKind.GATE else work(node.id, number)
        tries = (*did.tries, Try(did.seconds, did.error))
        ends[index] = begin + sum(each.seconds + each.pause_s for each in tries)
        taken[index] = frozenset() if did.error else targets if did.to is None else did.to
        status = BlockStatus.FAILED if did.error else BlockStatus.COMPLETED
        failed = bool(did.error)
        begun.append((begin, RecordedBlock(node.id, status, tries, taken[index], **did.more)))
    blocks = tuple(block for _, block in sorted(begun, key=lambda each: each[0]))
    return RecordedRun(number, number * 60.0, max(ends.values(), default=0.0), failed, blocks)

"""Checks that come after dear work although they need nothing of it, and often end the run: they could come first."""

from collections.abc import Iterator
from dataclasses import replace

from workflow_service.advisor.editing import edited, swapped
from workflow_service.advisor.ideas import Case, Idea
from workflow_service.advisor.recordings import RecordedBlock, Recordings
from workflow_service.advisor.vocabulary import Effort, Kind, Measure, Type
from workflow_service.advisor.wording import doubt, share
from workflow_service.engine.definition import END, Block
from workflow_service.engine.recommendations import Independence
from workflow_service.engine.states import BlockStatus

LEAST_ENDED = 0.05
DEARER = 2.0


def reorder(case: Case) -> Iterator[Idea]:
    """Yield an idea for each pair of dear work and a check behind it."""
    independence = Independence(case.plan, case.graph, case.writes, case.effects)
    for edge in case.plan.edges:
        if not independence.is_idle(edge):
            continue
        work, check = case.plan.nodes[edge.source], case.plan.nodes[edge.target]
        if len(work.normal_edges) > 1 or len(check.in_edges) > 1 or check.error_edges:
            continue
        block = case.definition.block(check.id)
        if _onward(block) is None or any({work.id, check.id} & set(g.sources) for g in case.definition.gates):
            continue
        checked = case.recordings.worked(check.id)
        ended = [each for each in checked if each.failed or each.taken == {END}]
        dearer = case.recordings.mean_seconds(work.id) >= DEARER * case.recordings.mean_seconds(check.id)
        if checked and dearer and len(ended) >= LEAST_ENDED * len(checked):
            yield _idea(case, work.id, block, len(ended), len(checked))


def _onward(check: Block) -> frozenset[str] | None:
    """Return where the one way leads on that does not end the run, nowhere for no choice; None: there are several."""
    ways = [frozenset(branch.next_blocks) - {END} for branch in check.conditions.branches]
    onward = [way for way in ways if way]
    if not onward:
        return None if ways else frozenset()
    return onward[0] if len(onward) == 1 else None


def _idea(case: Case, work: str, check: Block, ended: int, checked: int) -> Idea:
    name = check.block_id
    onward = _onward(check) or frozenset()
    saved = case.recordings.mean_seconds(work)
    usd = sum(each.cost_usd for each in case.recordings.worked(work)) / max(1, checked)

    def led(one: RecordedBlock) -> RecordedBlock:
        goes_on = bool(one.taken & onward) or (not onward and one.status == BlockStatus.COMPLETED)
        return replace(one, taken=frozenset({work})) if goes_on else one

    def rewritten(recordings: Recordings) -> Recordings:
        return recordings.with_block(name, led)

    return Idea(
        Kind.REORDER,
        Type.PERFORMANCE,
        Measure.DURATION,
        (work, name),
        f"Check '{name}' before '{work}'",
        f"'{name}' ends the run in {share(ended, checked)} of its runs, and uses nothing that '{work}' gives, which "
        f"takes {saved:.1f} s before it.",
        lambda: edited(case.definition, lambda document: swapped(document, work, name)),
        Effort.MEDIUM,
        {"reorder": {"first": name, "then": work}},
        {
            "ended": ended,
            "checked": checked,
            "workSeconds": round(saved, 3),
            "checkSeconds": round(case.recordings.mean_seconds(name), 3),
            "workUsd": round(usd, 6),
        },
        rewrite=rewritten,
        condition=doubt(case.effects.get(work), f"'{work}' need not be done in the runs that '{name}' ends"),
    )

"""Branches that nobody can take: their condition contradicts itself, or an earlier branch holds whenever they do.

That it was never taken proves nothing of a branch, for what it is there for may come tomorrow. So it is proposed only
where its condition and those before it are comparisons with constants from which that follows.
"""

from collections.abc import Iterator
from dataclasses import replace

from workflow_service.advisor.editing import Document, edited, without_branch
from workflow_service.advisor.ideas import Case, Idea
from workflow_service.advisor.implication import contradicts, implies
from workflow_service.advisor.recordings import RecordedBlock, Recordings
from workflow_service.advisor.vocabulary import Effort, Kind, Measure, Type
from workflow_service.engine.definition import Block


def dead_branches(case: Case) -> Iterator[Idea]:
    """Yield an idea for the first branch of each block that nobody can take."""
    for block in case.definition.blocks:
        position, why = _first_dead(block)
        if position is not None and not _was_taken(case, block, position):
            yield _idea(case, block, position, why)


def _first_dead(block: Block) -> tuple[int | None, str]:
    before: list[str] = []
    for position, branch in enumerate(block.conditions.branches):
        condition = branch.condition
        if condition is None:
            continue
        if contradicts(condition):
            return position, "it contradicts itself"
        if block.conditions.type == "exclusive":
            for earlier in before:
                if implies(condition, earlier):
                    return position, f"'{earlier}', which is asked before it, holds whenever it does"
        before.append(condition)
    return None, ""


def _was_taken(case: Case, block: Block, position: int) -> bool:
    """Tell whether any run went where only this branch leads: then what was proved is not so."""
    branches = block.conditions.branches
    elsewhere = {name for at, branch in enumerate(branches) if at != position for name in branch.next_blocks}
    alone = set(branches[position].next_blocks) - elsewhere
    return any(alone & each.taken for each in case.recordings.worked(block.block_id))


def _idea(case: Case, block: Block, position: int, why: str) -> Idea:
    name = block.block_id
    branch = block.conditions.branches[position]
    gone: list[str] = []

    def change(document: Document) -> None:
        gone.extend(without_branch(document, name, position))

    definition = edited(case.definition, change)
    asked = len(case.recordings.worked(name))
    go = "block goes" if len(gone) == 1 else "blocks go"
    also = f" With it {len(gone)} {go} that nothing else leads to." if gone else ""

    def rewritten(recordings: Recordings) -> Recordings:
        def without(one: RecordedBlock) -> RecordedBlock:
            return replace(one, taken=one.taken - frozenset(gone))

        return recordings.with_block(name, without)

    return Idea(
        Kind.DEAD_BRANCH,
        Type.UX,
        Measure.SIZE,
        (name, *sorted(gone)),
        f"Take a branch out of '{name}' that nobody can take",
        f"'{branch.condition}' can never decide where '{name}' leads: {why}. None of {asked} runs went there.{also}",
        lambda: definition,
        Effort.LOW,
        {"removeBranch": {"block": name, "condition": branch.condition, "blocks": [*sorted(gone)]}},
        {"asked": asked, "taken": 0, "reason": why},
        rewrite=rewritten,
    )

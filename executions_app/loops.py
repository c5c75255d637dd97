"""The loops of one locked run: their instances as rows, loaded once and written with the rest of the journal."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from executions_app.journal import Journal
from executions_app.run_state import RunState
from executions_app.transaction import EngineTransaction
from workflow_service.engine.decide import Arrivals, NodeSettlement, Settlement, Verdict
from workflow_service.engine.plan import NodeKind, Plan
from workflow_service.engine.rounds import NOT_BEGUN, THE_RUN, LoopState, Place
from workflow_service.engine.states import EdgeOutcome

OPEN_LOOPS = """
    SELECT id, loop, parent_scope_id, parent_index, round, first_round, open, broken, ended, closed, back, exits,
        arrivals, counts
    FROM executions_app_scope WHERE execution_id = %s AND kind = 'loop' AND NOT closed AND NOT superseded
"""
NEW_SCOPES = """
    SELECT nextval(pg_get_serial_sequence('executions_app_scope', 'id')) AS id FROM generate_series(1, %s)
"""


class LoopRows:
    """Instances of loops by loop, and the places in which nodes stand."""

    def __init__(self, tx: EngineTransaction, run: RunState, plan: Plan, journal: Journal) -> None:
        self._tx = tx
        self._run = run
        self._plan = plan
        self._journal = journal
        self._states: dict[int, LoopState] | None = None if plan.loops else {}
        self._counts: dict[int, Counter[str]] = {}
        self._changed: dict[int, LoopState] = {}

    @property
    def states(self) -> Mapping[int, LoopState]:
        """The instances that are not closed."""
        if self._states is None:
            rows = self._tx.run(OPEN_LOOPS, (self._run.id,)).fetchall()
            self._states = {row.loop: loop_state(row) for row in rows}
            self._counts = {row.id: Counter(json.loads(row.counts)) for row in rows}
        return self._states

    def place(self, node: int) -> Place | None:
        """Return where a node stands now; None where its loop is in no round."""
        loop = self._plan.nodes[node].loop
        if loop is None:
            return THE_RUN
        state = self.states.get(loop)
        if state is None or state.round == NOT_BEGUN or state.ended:
            return None
        return Place(state.scope, state.round)

    def restate(self, states: Mapping[int, LoopState], counts: Mapping[int, Counter[str]]) -> None:
        """Take the instances that are not closed, by loop, and the counts of their rounds from who knows better."""
        self._states = dict(states)
        self._counts = dict(counts)

    def count(self, scope: int, how: str) -> None:
        """Count a block that ended, for the run and for the round of the loop it stood in."""
        _add(self._run, {how: 1})
        if scope:
            self._counts.setdefault(scope, Counter())[how] += 1

    def apply(self, settlement: Settlement) -> Settlement:
        """Take over what a settlement did to loops, and count the blocks it skipped.

        Returns it with the new instances named by their rows' ids.
        """
        if settlement.loops:
            settlement = self._with_ids(settlement)
        rounds = {state.scope: state.round for state in settlement.loops if not state.ended}
        of_new_round = []
        for each in settlement.settled[1:]:
            if how := self._counted_as(each):
                if rounds.get(each.place.scope) == each.place.index:
                    of_new_round.append((each.place.scope, how))
                else:
                    self.count(each.place.scope, how)
        if settlement.loops:
            self._take_over(settlement.loops)
        for scope, how in of_new_round:
            self.count(scope, how)
        return settlement

    def _counted_as(self, settled: NodeSettlement) -> str | None:
        """Return how progress counts a node that passed: blocks that are skipped, and gates that fail."""
        if settled.verdict is Verdict.FAILED:
            return "failed"
        is_block = self._plan.nodes[settled.node].kind is NodeKind.BLOCK
        return "skipped" if settled.verdict is Verdict.SKIPPED and is_block else None

    def _with_ids(self, settlement: Settlement) -> Settlement:
        made = [state.scope for state in settlement.loops if state.scope < 0]
        names = dict(zip(made, self._new_ids(len(made)), strict=True))
        return replace(
            settlement,
            settled=tuple(replace(each, place=_renamed(each.place, names)) for each in settlement.settled),
            loops=tuple(_named(state, names) for state in settlement.loops),
            limits=tuple(
                replace(each, scope=names.get(each.scope, each.scope)) for each in settlement.limits
            ),
        )

    def _take_over(self, changed: Iterable[LoopState]) -> None:
        states = dict(self.states)
        for state in _in_order(list(changed)):
            before = states.get(state.loop)
            self._tell(before if before and before.scope == state.scope else None, state)
            states[state.loop] = state
        self._states = {loop: state for loop, state in states.items() if not state.closed}
        self._changed |= {state.scope: state for state in changed}

    def write(self) -> None:
        """Put the instances that changed into the journal."""
        for scope, state in self._changed.items():
            self._journal.loop(state, self._counts.get(scope, {}))

    def _new_ids(self, count: int) -> list[int]:
        if not count:
            return []
        return [row.id for row in self._tx.run(NEW_SCOPES, (count,))]

    def _tell(self, before: LoopState | None, now: LoopState) -> None:
        """Append the events of what changed, and count blocks of a round that begins anew as not done."""
        rounds = {
            "scope": now.scope,
            "parent": {"scope": now.parent.scope, "index": now.parent.index},
            "entries": self._names(self._plan.loops[now.loop].entries),
        }
        counts = self._counts.setdefault(now.scope, Counter())
        if now.ended and not (before and before.ended):
            if now.parent.scope:
                self._counts.setdefault(now.parent.scope, Counter()).update(counts)
            self._journal.event("loop_ended", data={**rounds, "rounds": now.round + 1})
        elif now.round != (before.round if before else NOT_BEGUN):
            _add(self._run, {how: -number for how, number in counts.items()})
            counts.clear()
            self._journal.event("loop_round_started", data={**rounds, "round": now.round})

    def _names(self, nodes: Iterable[int]) -> list[str]:
        return [self._plan.nodes[node].id for node in nodes if self._plan.nodes[node].kind is NodeKind.BLOCK]


def _in_order(changed: Sequence[LoopState]) -> list[LoopState]:
    """Return instances in the order in which they changed: what ended in a round comes before the next round."""
    scopes = {state.scope for state in changed}
    told: list[LoopState] = []

    def tell(state: LoopState) -> None:
        inner = [each for each in changed if each.parent.scope == state.scope]
        over = [each for each in inner if state.ended or each.parent.index < state.round]
        for each in over:
            tell(each)
        told.append(state)
        for each in inner:
            if each not in over:
                tell(each)

    for state in changed:
        if state.parent.scope not in scopes:
            tell(state)
    return told


def loop_state(row: Any) -> LoopState:
    """Return an instance from the columns of its row, as ``OPEN_LOOPS`` reads them."""
    return LoopState(
        scope=row.id,
        loop=row.loop,
        parent=Place(row.parent_scope_id, row.parent_index),
        round=row.round,
        first_round=row.first_round,
        open=row.open,
        broken=row.broken,
        ended=row.ended,
        closed=row.closed,
        back=frozenset(row.back),
        exits={
            int(edge): (EdgeOutcome(outcome), frozenset(left))
            for edge, (outcome, left) in json.loads(row.exits).items()
        },
        arrivals={
            int(node): Arrivals(taken, dead, lost, frozenset(origins))
            for node, (taken, dead, lost, origins) in json.loads(row.arrivals).items()
        },
    )


def _add(run: RunState, counts: Mapping[str, int]) -> None:
    run.completed_blocks += counts.get("completed", 0)
    run.failed_blocks += counts.get("failed", 0)
    run.skipped_blocks += counts.get("skipped", 0)


def _named(state: LoopState, names: Mapping[int, int]) -> LoopState:
    return replace(state, scope=names.get(state.scope, state.scope), parent=_renamed(state.parent, names))


def _renamed(place: Place, names: Mapping[int, int]) -> Place:
    return Place(names[place.scope], place.index) if place.scope < 0 else place

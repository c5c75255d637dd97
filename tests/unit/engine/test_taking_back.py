"""Restarts, as the engine sees them: what is taken back, and that a run restarted anywhere ends as if it never was."""

from random import Random

import pytest

from tests.reference.agreement import plan_of
from tests.reference.generator import Features, random_workflow
from tests.unit.engine.graphs import planned
from tests.unit.engine.memory_run import Finish, MemoryRun
from workflow_service.engine.decide import FAILING, Settlement, Verdict
from workflow_service.engine.errors import InvalidDefinition
from workflow_service.engine.plan import NodeKind, Plan
from workflow_service.engine.restart import Settled, affected_nodes, cut, reopen
from workflow_service.engine.rounds import THE_RUN, LoopState, Place


class RestartedRun(MemoryRun):
    """A run in memory that can be restarted; blocks end the second time as they did the first."""

    def restart(self, targets: list[int]) -> None:
        """Take ``targets`` and what depends on them back, and lead up to them again."""
        taken = cut(self.plan, {}, [(THE_RUN, node) for node in targets])
        gone = set(taken.affected())
        settled = [
            Settled(
                node,
                THE_RUN,
                verdict,
                {edge: self.outcomes[edge] for edge in self._out_edges(node)},
                self.origins[node],
            )
            for node, verdict in self.verdicts.items()
            if node not in gone
        ]
        for node in gone:
            self.verdicts.pop(node, None)
            self.origins.pop(node, None)
            self.counters.pop(node, None)
            for edge in self._out_edges(node):
                self.outcomes.pop(edge, None)
        self.started -= gone
        self.unhandled -= gone
        self.active = [node for node in self.active if node not in gone]
        self.reached_end = False
        self._take_over(self._reopened(taken, settled))

    def _reopened(self, taken: object, settled: list[Settled]) -> Settlement:
        failed: frozenset[int] = frozenset()
        while True:
            answer = reopen(taken, settled, {}, scope_of=self._scope, failed_gates=failed)  # type: ignore[arg-type]
            if answer.routing_failed_node is None:
                return answer
            failed |= {answer.routing_failed_node}

    def _take_over(self, answer: Settlement) -> None:
        for each in answer.settled:
            assert each.node not in self.verdicts, "what stays was settled again"
            assert not self.outcomes.keys() & each.outcomes.keys()
            self.verdicts[each.node] = each.verdict
            self.outcomes.update(each.outcomes)
            self.origins[each.node] = each.origins
            if each.verdict in FAILING:
                self.unhandled.add(each.node)
        assert not self.started.intersection(answer.ready), "what stays was started again"
        self.counters.update(answer.arrivals)
        self.started.update(answer.ready)
        self.active += answer.ready
        self.reached_end |= answer.reached_end
        self._check_counters(answer)
        self._check_nothing_is_late()

    def _out_edges(self, node: int) -> tuple[int, ...]:
        return (*self.plan.nodes[node].normal_edges, *self.plan.nodes[node].error_edges)

    def step(self, rng: Random) -> bool:
        if not self.active:
            return False
        self.finish(self.active.pop(rng.randrange(len(self.active))))
        return True


def random_plan(rng: Random) -> tuple[Plan, dict[str, Finish]]:
    """Return a random plan without loops, and how its blocks end, each time they run."""
    features = Features(reads_others=False, fails_fast=False)
    while True:
        workflow = random_workflow(rng, most_blocks=rng.choice((4, 9, 14)), features=features)
        try:
            plan = plan_of(workflow)
        except InvalidDefinition:
            continue
        if not plan.loops:
            lines = {name: lines[0] for name, lines in workflow.script.items() if lines}
            return plan, {
                name: Finish(Verdict(line.status), line.output, line.answers) for name, line in lines.items()
            }


@pytest.mark.parametrize("seed", range(12))
def test_a_run_restarted_at_any_moment_ends_as_if_it_never_was(seed: int) -> None:
    rng = Random(seed)
    for _ in range(40):
        plan, finishes = random_plan(rng)
        expected = MemoryRun(plan, finishes).run(rng.randrange).ending()
        run = RestartedRun(plan, finishes)
        for _ in range(rng.randint(0, 20)):
            run.step(rng)
        for _ in range(rng.randint(1, 3)):
            ran = sorted(node for node in run.started if plan.nodes[node].kind is not NodeKind.GATE)
            run.restart(rng.sample(ran, rng.randint(1, min(2, len(ran)))))
            for _ in range(rng.randint(0, 5)):
                run.step(rng)
        assert run.run(rng.randrange).ending() == expected


def test_what_depends_on_a_block_is_taken_back_with_it() -> None:
    plan = planned("start->a;a->b;a->c;b->d;c->d;d->end;c!->e;e->end;")
    names = {node.id: node.index for node in plan.nodes}

    def affected(*from_blocks: str) -> set[str]:
        found = affected_nodes(plan, [names[block] for block in from_blocks])
        return {plan.nodes[node].id for node in found}

    assert affected("b") == {"b", "d"}
    assert affected("c") == {"c", "d", "e"}
    assert affected("b", "e") == {"b", "d", "e"}
    assert affected("a") == {"a", "b", "c", "d", "e"}


def test_a_loop_goes_back_to_the_earliest_round_asked_for() -> None:
    plan = planned("start->a;a->b;b->a:again==True;b->c:else;c->end;")
    names = {node.id: node.index for node in plan.nodes}
    instances = {7: LoopState(7, 0, round=4, ended=True, closed=True)}
    taken = cut(plan, instances, [(Place(7, 3), names["b"]), (Place(7, 2), names["b"])])
    assert taken.places == {None: THE_RUN, 0: Place(7, 2)}
    assert [plan.nodes[node].id for node in taken.affected()] == ["b", "c"]
    assert not taken.takes(Place(7, 2), names["a"])
    assert taken.takes(Place(7, 2), names["b"])
    assert taken.takes(Place(7, 3), names["a"])
    assert not taken.takes(Place(7, 1), names["b"])
    assert taken.takes(THE_RUN, names["c"])
    assert not taken.takes_instance(7)


def test_what_leads_to_a_loop_takes_all_its_rounds_back() -> None:
    plan = planned("start->s;s->a;a->b;b->a:again==True;b->c:else;c->end;")
    names = {node.id: node.index for node in plan.nodes}
    instances = {7: LoopState(7, 0, round=4, ended=True, closed=True)}
    taken = cut(plan, instances, [(THE_RUN, names["s"]), (Place(7, 2), names["b"])])
    assert taken.takes_instance(7)
    assert taken.takes(Place(7, 0), names["a"])
    assert [plan.nodes[node].id for node in taken.affected()] == ["s", "a", "b", "c"]

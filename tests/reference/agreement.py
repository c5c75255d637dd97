"""Engine and interpreter run one workflow side by side; what they say must be equal at every step."""

from dataclasses import dataclass
from random import Random
from types import ModuleType

from tests.reference.engine_run import EngineRun
from tests.reference.generator import Workflow
from tests.reference.interpreter import Interpreter
from tests.reference.script import result_of
from workflow_service.engine import decide as real_decide
from workflow_service.engine.definition import Definition
from workflow_service.engine.plan import Plan, compile_plan


@dataclass
class Moments:
    """When what happens: how many blocks run at once, who is started or finishes next, when the run is paused."""

    rng: Random
    slots: int
    pauses: bool
    paused: bool = False

    @classmethod
    def drawn(cls, rng: Random) -> "Moments":
        return cls(rng, rng.choice((1, 2, 3, 100)), rng.random() < 0.3)

    def next_starts(self, ready: int, running: int) -> bool:
        """Return whether a block starts next (else one finishes). A pause only delays: nothing starts in it."""
        if self.pauses and self.rng.random() < 0.2:
            self.paused = not self.paused
        if running == 0:
            self.paused = False
            return True
        may_start = ready > 0 and running < self.slots and not self.paused
        return may_start and self.rng.random() < 0.7


def plan_of(workflow: Workflow) -> Plan:
    """Compile a workflow; raises ``InvalidDefinition``."""
    return compile_plan(Definition.model_validate(workflow.definition))


def check_agreement(
    workflow: Workflow, rng: Random, *, decide: ModuleType = real_decide, plan: Plan | None = None
) -> Interpreter:
    """Run ``workflow`` to its end in a random order; raises ``AssertionError`` at the first difference."""
    plan = plan or plan_of(workflow)
    reference, engine = Interpreter(workflow.definition, workflow.script), EngineRun(plan, decide)
    moments = Moments.drawn(rng)
    reference.begin()
    engine.begin()
    while _compared(reference, engine):
        starts = moments.next_starts(len(reference.ready), len(reference.running))
        place = rng.choice(sorted(reference.ready if starts else reference.running))
        if starts:
            reference.start(place)
            engine.start(place)
        else:
            name = place[0]
            line = reference.line(name)
            status, output = result_of(reference.graph.nodes[name], line)
            reference.finish(place)
            engine.finish(place, status, output, line.answers)
    assert engine.outcome() == reference.outcome()
    return reference


def _compared(reference: Interpreter, engine: EngineRun) -> bool:
    """Compare all there is; returns whether anything is still to be done."""
    assert sorted(engine.ready) == sorted(reference.ready)
    assert sorted(engine.running) == sorted(reference.running)
    assert engine.statuses == reference.statuses
    assert engine.edges == {
        (wire.source, wire.target, wire.error, path): kind for (wire, path), kind in reference.edges.items()
    }
    assert sorted(engine.unhandled) == sorted(name for name, _ in reference.unhandled)
    assert sorted(engine.limits) == sorted(reference.limits)
    assert engine.failing == reference.failing
    assert engine.reached_end == reference.reached_end
    return bool(reference.ready or reference.running)

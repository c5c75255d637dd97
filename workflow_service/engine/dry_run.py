"""Dry runs: where a plan leads on given or assumed outputs, with the real rule and no side effect.

``dry_run`` walks a plan once, by ``decide`` as every run does: guards, joins, loops, losses, retries and recovery
decide what they decide in a run. Only the work is not done: a block's output is one that was given, or what its
configuration says (NOOP), or assumed just as far as later expressions read it. Waits and sub-workflows are taken to
be over at once, people to answer as told (else yes). ``dry_run_branches`` does it again and again, each time towards
what no run has reached yet. Equal arguments give equal answers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import JsonValue

from workflow_service.engine.definition import JsonObject
from workflow_service.engine.findings import Finding
from workflow_service.engine.graph import NodeKind
from workflow_service.engine.plan import END_NODE, Plan
from workflow_service.engine.rehearsal.choice import Leading, Natural, Ways
from workflow_service.engine.rehearsal.script import DryRunInvalid, refuse_unusable
from workflow_service.engine.rehearsal.simulation import Simulation, Step
from workflow_service.engine.rehearsal.values import Keys

__all__ = [
    "Coverage",
    "DryRun",
    "DryRunInvalid",
    "DryRunStatus",
    "Step",
    "coverage",
    "dry_run",
    "dry_run_branches",
    "edge_name",
]

MAX_STEPS = 5_000
MAX_RUNS = 64
MAX_STEPS_OF_ALL = 8_000
# Conditions evaluated in the search for values that lead somewhere: most need fewer than ten.
TRIALS = 5_000
TRIALS_OF_NODE = 10
TRIALS_OF_ALL = 20_000
IDLE_RUNS = 3

Outputs = Mapping[str, JsonValue | Sequence[JsonValue]]
Answers = Mapping[str, JsonValue | Sequence[JsonValue]]


class DryRunStatus(StrEnum):
    """How a dry run ended; STUCK: after so many steps that it was given up."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    STUCK = "STUCK"


@dataclass(frozen=True, slots=True)
class DryRun:
    """One way through a plan.

    ``path`` are the ids of the blocks that worked, in order, once for each round; ``steps`` is everything that was
    decided. ``taken``, ``dead`` and ``lost`` are the edges of the plan that were ever resolved so. ``problems`` are
    reads of what is not there and conditions that cannot be evaluated, with their places. ``assumed`` is what nobody
    has given, ``undone`` what compensation would undo, in order.
    """

    status: DryRunStatus
    path: tuple[str, ...]
    steps: tuple[Step, ...]
    verdicts: Mapping[str, str]
    taken: frozenset[int]
    dead: frozenset[int]
    lost: frozenset[int]
    problems: tuple[Finding, ...] = ()
    error: JsonObject | None = None
    assumed: JsonObject = field(default_factory=dict)
    context: JsonObject = field(default_factory=dict)
    undone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Coverage:
    """What some dry runs never came to: blocks that did no work, and edges (indexes of the plan's) never taken."""

    unreached_blocks: tuple[str, ...]
    untaken_edges: tuple[int, ...]

    @property
    def is_complete(self) -> bool:
        return not self.unreached_blocks and not self.untaken_edges


def dry_run(
    plan: Plan,
    *,
    input: JsonObject | None = None,
    outputs: Outputs | None = None,
    answers: Answers | None = None,
    writes: Mapping[str, Keys] | None = None,
    choose: Ways | None = None,
    max_steps: int = MAX_STEPS,
) -> DryRun:
    """Walk ``plan`` once.

    ``outputs`` by block id: a value, or a list of values for successive tries and rounds, the last of which holds on;
    of a map those of its items. ``{"$error": "TIMEOUT_ERROR"}`` is a try that fails. ``answers`` by block id are those
    of people ("approve", "reject", true, false, or an object: the form they fill in), by question those of the
    language model (true or false); lists are successive answers. ``writes`` are the keys that a block's output can
    have, where known. ``choose`` says where to go where values are free. Without ``input`` that is assumed too.
    Raises ``DryRunInvalid`` where an answer or an error makes no sense, or is for what the plan does not have.
    """
    bounds = _Bounds(max_steps, TRIALS + len(plan.nodes) * TRIALS_OF_NODE)
    given = _Given(input, outputs or {}, answers or {}, writes or {})
    refuse_unusable(plan, given.outputs, given.answers)
    return _walk(plan, given, choose or Natural(plan), bounds)


def dry_run_branches(
    plan: Plan,
    *,
    input: JsonObject | None = None,
    outputs: Outputs | None = None,
    answers: Answers | None = None,
    writes: Mapping[str, Keys] | None = None,
    max_runs: int = MAX_RUNS,
    max_steps: int = MAX_STEPS_OF_ALL,
) -> tuple[DryRun, ...]:
    """Walk ``plan`` until every edge was taken, or nothing new is reached any more; the first run is ``dry_run``'s.

    Only runs that reached something new are returned. ``max_steps`` bounds them together; what it cuts off is left out.
    """
    given = _Given(input, outputs or {}, answers or {}, writes or {})
    refuse_unusable(plan, given.outputs, given.answers)
    bounds = _Bounds(max_steps, TRIALS_OF_ALL + 4 * len(plan.nodes) * TRIALS_OF_NODE)
    runs = [_walk(plan, given, Natural(plan), bounds)]
    taken, reached = set(runs[0].taken), set(runs[0].path)
    leading = Leading(plan, frozenset(taken), frozenset(reached))
    idle, tried = 0, 1
    while tried < max_runs and idle < IDLE_RUNS and bounds.steps > 0 and leading.has_goals():
        left = bounds.steps
        run = _walk(plan, given, leading, bounds)
        if run.status is DryRunStatus.STUCK and left < MAX_STEPS:
            break  # cut off by what bounds all runs together, which says nothing of this way
        tried += 1
        if run.taken <= taken and reached.issuperset(run.path):
            idle += 1
        else:
            runs.append(run)
            taken |= run.taken
            reached.update(run.path)
            idle = 0
        leading = leading.after(frozenset(taken), frozenset(reached))
    return tuple(runs)


@dataclass(slots=True)
class _Bounds:
    """How many steps may still be taken, and conditions evaluated in the search for values."""

    steps: int
    trials: int


@dataclass(frozen=True, slots=True)
class _Given:
    input: JsonObject | None
    outputs: Outputs
    answers: Answers
    writes: Mapping[str, Keys]


def _walk(plan: Plan, given: _Given, ways: Ways, bounds: _Bounds) -> DryRun:
    steps = min(bounds.steps, MAX_STEPS)
    trials = min(bounds.trials, TRIALS + len(plan.nodes) * TRIALS_OF_NODE)
    run = Simulation(plan, given.input, given.outputs, given.answers, given.writes, ways, steps, trials)
    status = DryRunStatus(run.outcome().value) if run.walk() else DryRunStatus.STUCK
    bounds.steps -= len(run.steps) + 1
    bounds.trials -= trials - run.trials_left
    return DryRun(
        status,
        tuple(step.block_id for step in run.steps if step.worked),
        tuple(run.steps),
        {step.block_id: step.verdict for step in run.steps},
        frozenset(run.taken),
        frozenset(run.dead),
        frozenset(run.lost),
        tuple(dict.fromkeys(run.problems)),
        run.error,
        run.values.assumptions(),
        dict(run.values.context),
        tuple(run.undone),
    )


def coverage(plan: Plan, runs: Iterable[DryRun]) -> Coverage:
    """Return what ``runs`` never reached. An error edge counts as much as any other."""
    taken: set[int] = set()
    worked: set[str] = set()
    for run in runs:
        taken |= run.taken
        worked.update(run.path)
    blocks = (node.id for node in plan.nodes if node.kind is NodeKind.BLOCK)
    return Coverage(
        tuple(block_id for block_id in blocks if block_id not in worked),
        tuple(edge.index for edge in plan.edges if edge.index not in taken),
    )


def edge_name(plan: Plan, edge: int) -> str:
    """Return an edge as the DSL writes it, ``a->b`` or ``a!->b``."""
    found = plan.edges[edge]
    target = "end" if found.target == END_NODE else plan.nodes[found.target].id
    arrow = "!->" if found.kind.value == "error" else "->"
    return f"{plan.nodes[found.source].id.removesuffix('?')}{arrow}{target.removesuffix('?')}"

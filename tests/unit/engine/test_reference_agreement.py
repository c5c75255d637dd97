"""Engine and reference interpreter agree on random workflows, step by step, in whatever order blocks finish."""

import inspect
from collections import Counter
from random import Random
from types import ModuleType

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.reference import areas, conditions, graph, interpreter, script
from tests.reference.agreement import check_agreement
from tests.reference.generator import Features, Workflow, random_workflow, workflows
from tests.reference.interpreter import Interpreter
from tests.reference.script import CANCELLED
from tests.thoroughness import WHOLE
from workflow_service.engine.errors import InvalidDefinition

EXAMPLES = 2_000 if WHOLE else 500
SPARE = EXAMPLES // 20  # for what turns out to be drawn twice, or invalid


def test_agrees_on_random_workflows() -> None:
    """Plain seeds make larger workflows in less time than hypothesis's own random numbers, which shrink."""
    seen: set[str] = set()
    met: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES + SPARE, deadline=None)
    @given(seed=st.integers(0, 2**40), most_blocks=st.sampled_from((5, 9, 14)))
    def agree(seed: int, most_blocks: int) -> None:
        rng = Random(seed)
        workflow = random_workflow(rng, most_blocks=most_blocks)
        try:
            reference = check_agreement(workflow, rng)
        except InvalidDefinition:
            met["invalid"] += 1
            assume(False)
        seen.add(repr(workflow))
        met.update(_features(workflow, reference))

    agree()
    assert len(seen) >= EXAMPLES
    assert met["invalid"] <= SPARE // 2
    rare = {name: met[name] for name in WANTED if met[name] < EXAMPLES // 100}
    assert not rare, f"the generator hardly makes these any more: {rare} of {dict(met)}"


WANTED = (
    "rounds", "nested loops", "limits", "several entries", "skipped loops", "gates", "questions", "maps",
    "handled failures", "cancelled", "guards", "COMPLETED", "FAILED", "no path to the end",
)  # fmt: skip


def _features(workflow: Workflow, run: Interpreter) -> set[str]:
    """Return which of ``WANTED`` the run has met."""
    paths = [path for _, path in run.statuses]
    blocks = workflow.definition["blocks"]
    failed = {place for place, status in run.statuses.items() if status in ("FAILED", "REJECTED")}
    begun = {path for (_, path), status in run.statuses.items() if path and status != "SKIPPED"}
    met = {
        "rounds": any(number > 0 for path in paths for number in path),
        "nested loops": any(len(path) > 1 for path in begun),
        "limits": bool(run.limits),
        "several entries": any(len(loop.entries) > 1 for loop in run.graph.loops),
        "skipped loops": any(path and path not in begun for path in paths),
        "gates": bool(workflow.definition["gates"]),
        "questions": any(name.endswith("?") for name, _ in run.statuses),
        "maps": any("forEach" in block and block["blockId"] in run.run_counts for block in blocks),
        "handled failures": bool(failed - set(run.unhandled)),
        "cancelled": CANCELLED in run.statuses.values(),
        "guards": any("expression" in block.get("conditions", {}) for block in blocks),
        "no path to the end": run.outcome()[1] == "NO_PATH_TO_END",
        run.outcome()[0]: True,
    }
    return {name for name, is_met in met.items() if is_met}


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(workflow=workflows(most_blocks=6), rng=st.randoms(use_true_random=False))
def test_agrees_on_workflows_that_shrink(workflow: Workflow, rng: Random) -> None:
    """What fails here fails with a small workflow."""
    try:
        check_agreement(workflow, rng)
    except InvalidDefinition:
        assume(False)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**40))
def test_ends_alike_in_any_order(seed: int) -> None:
    """Where no condition reads what another block may not have written yet, only time depends on time."""
    workflow = random_workflow(Random(seed), features=Features(reads_others=False, fails_fast=False))
    try:
        first, second = (check_agreement(workflow, Random(seed + order)) for order in (1, 2))
    except InvalidDefinition:
        assume(False)
    assert first.statuses == second.statuses
    assert first.edges == second.edges
    assert first.outcome() == second.outcome()


@pytest.mark.parametrize(
    "module", [areas, conditions, graph, interpreter, script], ids=lambda module: module.__name__
)
def test_the_interpreter_stands_alone(module: ModuleType) -> None:
    imported = [
        line for line in inspect.getsource(module).splitlines() if line.startswith(("import", "from"))
    ]
    assert imported
    assert not [line for line in imported if "workflow_service" in line or "django" in line]


def test_agrees_on_a_large_workflow() -> None:
    rng = Random(7)
    workflow = random_workflow(rng, most_blocks=60)
    check_agreement(workflow, rng)

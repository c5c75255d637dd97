"""The rule on random workflows: it agrees with the reference, in whatever order blocks finish."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.engine.memory_run import Ending, MemoryRun
from tests.unit.engine.random_workflows import random_workflow
from tests.unit.engine.reference import Reference
from workflow_service.engine.plan import compile_plan


def shown_without_decide_nodes(ending: Ending) -> tuple[dict[str, str], dict[tuple[str, str, str], str]]:
    """Return verdicts and edge outcomes in the reference's terms: branches belong to the block itself."""
    verdicts = {name: verdict.value for name, verdict in ending.verdicts.items() if not name.endswith("?")}
    outcomes = {
        (source.removesuffix("?"), kind, target): result.value
        for (source, kind, target), result in ending.outcomes.items()
        if not target.endswith("?")
    }
    return verdicts, outcomes


@settings(max_examples=400, deadline=None)
@given(rng=st.randoms(use_true_random=False))
def test_agrees_with_the_reference(rng: Random) -> None:
    definition, finishes = random_workflow(rng)
    reference = Reference(definition, finishes).run()
    ending = MemoryRun(compile_plan(definition), finishes).run(rng.randrange).ending()
    verdicts, outcomes = shown_without_decide_nodes(ending)
    assert verdicts == {name: verdict.value for name, verdict in reference.verdicts.items()}
    assert outcomes == {wire: token.kind for wire, token in reference.tokens.items()}
    assert ending.unhandled == reference.unhandled


@settings(max_examples=200, deadline=None)
@given(rng=st.randoms(use_true_random=False), seeds=st.tuples(st.integers(), st.integers()))
def test_order_of_finishing_changes_nothing(rng: Random, seeds: tuple[int, int]) -> None:
    definition, finishes = random_workflow(rng)
    plan = compile_plan(definition)
    endings = [MemoryRun(plan, finishes).run(Random(seed).randrange).ending() for seed in seeds]
    assert endings[0] == endings[1]

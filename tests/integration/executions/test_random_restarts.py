"""Random workflows with loops and maps, restarted from any block at any moment, end as if they never had been."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from pydantic import JsonValue

from executions_app import running
from executions_app.models import BlockExecution, Execution
from templates_app.models import Template
from tests.consistency import assert_consistent, assert_rebuilt
from tests.driver import queued_blocks
from tests.factories import event_types, make_template, start
from tests.places import edges, placed_statuses
from tests.reference.areas import Place
from tests.reference.generator import Features, random_workflow
from tests.reference.script import COMPLETED, Script
from tests.restarting import restart
from tests.thoroughness import WHOLE
from workflow_service.agents.errors import ToolError
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.engine.definition import Definition
from workflow_service.engine.plan import Plan, compile_plan
from workflow_service.engine.states import ErrorType

pytestmark = pytest.mark.usefixtures("db")

# As many as `make chaos` runs; the short form of the suite runs half.
SEEDS = 60 if WHOLE else 20
# What a block does depends on nothing but its round: neither on what else ran before it nor on how often.
FEATURES = Features(questions=False, rejections=False, reads_others=False, fails_fast=False)
MAX_STEPS = 1_000

scripts: dict[str, Script] = {}


@use_case("tests.play_round")
def play_round(params: dict[str, JsonValue], run: RunContext) -> dict[str, JsonValue]:
    """End as the script says for this round, however often it is asked."""
    _, scope, _, index, _ = run.idempotency_key.split(":")
    item = params.get("item")
    lines = scripts[run.execution_id][run.block_id]
    in_map = item is not None
    line = lines[0 if in_map or scope == "0" else int(index) % len(lines)]
    succeeds = (line.items or ())[int(str(item))] if in_map else line.status == COMPLETED
    if not succeeds:
        raise ToolError(ErrorType.VALIDATION_ERROR, "as scripted", retryable=False)
    return dict(line.output)


@pytest.fixture(autouse=True)
def no_scripts() -> Iterator[None]:
    yield
    scripts.clear()


@dataclass(frozen=True)
class Ending:
    """How a run ended: its status, its nodes where they stood, its edges."""

    status: str
    nodes: dict[Place, str]
    edges: dict[Any, str]


def begun(template: Template, script: Script) -> Execution:
    execution = start(template)
    scripts[execution.public_id] = script
    return execution


def go(execution: Execution, rng: Random, steps: int = MAX_STEPS) -> Execution:
    """Run so many queued blocks, in a random order."""
    for _ in range(steps):
        queued = queued_blocks(execution)
        if not queued:
            break
        running.run_blocks(execution.pk, rng.choice(queued), rng.choice(("default", "low")))
    else:
        assert steps < MAX_STEPS, f"{execution} is still not quiet"
    return assert_consistent(execution)


def ending(execution: Execution, plan: Plan) -> Ending:
    assert_rebuilt(execution)
    return Ending(execution.status, placed_statuses(execution), edges(execution, plan))


def restart_somewhere(execution: Execution, rng: Random) -> None:
    rows = BlockExecution.objects.filter(execution=execution, kind="block", superseded=False)
    ran = sorted(set(rows.exclude(started_at=None).values_list("block_id", flat=True)))
    if not ran:
        return  # a guard failed before any work
    reset = rng.random() < 0.5
    restart(execution, from_block=rng.choice(ran), force=True, reset_state=reset, preserve_context=False)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_run_restarted_at_any_moment_ends_as_if_it_never_was(seed: int) -> None:
    rng = Random(seed)
    workflow = random_workflow(rng, most_blocks=rng.choice((6, 10, 14)), features=FEATURES)
    work = {"toolType": "USE_CASE", "retryPolicy": {"maxRetries": 0}}
    blocks = [
        {**each, **work, "configuration": {"useCase": "tests.play_round", "input": given(each)}}
        for each in workflow.definition["blocks"]
    ]
    definition = {**workflow.definition, "blocks": blocks}
    plan = compile_plan(Definition.model_validate(definition))
    template = make_template(**definition)
    undisturbed = go(begun(template, workflow.script), rng)
    execution = begun(template, workflow.script)
    go(execution, rng, rng.randint(1, 12))
    for _ in range(rng.randint(1, 3)):
        restart_somewhere(execution, rng)
        go(execution, rng, rng.randint(0, 8))
    found, expected = ending(go(execution, rng), plan), ending(undisturbed, plan)
    # After a restart rounds count afresh: where the bound ended a loop, it ends it in another round.
    bounded = "loop_limit_reached" in event_types(undisturbed)
    assert found == expected or (bounded and found.status == expected.status)


def given(block: dict[str, Any]) -> dict[str, str]:
    return {"item": "${item}"} if "forEach" in block else {}

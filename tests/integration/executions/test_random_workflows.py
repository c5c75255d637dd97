"""Random workflows on the real stack: rows, edges and outcome are what the reference interpreter says.

The stack runs first, in a random order; the interpreter then follows the order in which its blocks ended.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from pydantic import JsonValue

from executions_app import running
from executions_app.aftermath import follow_up, settle_again
from executions_app.claiming import claim_block
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution, Execution, ExecutionEvent
from executions_app.running import run_in_place, work_on, write_outcome
from executions_app.services.control import Asked, pause_execution, resume_execution
from tests.consistency import assert_consistent
from tests.driver import queued_blocks
from tests.factories import event_types, make_template, start
from tests.farms import live_worker
from tests.locks import locked_elsewhere
from tests.places import current_rows, edges, paths_by_scope, place_of, placed_statuses
from tests.reference.generator import Features, Workflow, random_workflow
from tests.reference.interpreter import Interpreter
from tests.reference.script import COMPLETED, Line, Script
from workflow_service.agents.errors import ToolError
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.engine.definition import Definition
from workflow_service.engine.plan import compile_plan
from workflow_service.engine.states import ErrorType

pytestmark = pytest.mark.usefixtures("db")

WORKFLOWS = 200
FEATURES = Features(questions=False, rejections=False)
MAX_STEPS = 1_000
# How likely it is that a run is paused instead of going on by a step.
PAUSES = 0.08
# How likely it is that others hold the run's lock when blocks are claimed and finished.
CROWDS = 0.25
QUEUES = ("default", "low")
ROBOT = Asked("robot")
ENDS = ("block_completed", "block_failed")


@dataclass
class Playing:
    """A script being played by one execution: the runs each block has had, in order, by where they stood."""

    script: Script
    runs: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def line(self, block_id: str, place: tuple[str, str]) -> Line:
        runs = self.runs.setdefault(block_id, [])
        if place not in runs:
            runs.append(place)
        lines = self.script[block_id]
        return lines[runs.index(place) % len(lines)]


playing: dict[str, Playing] = {}


@use_case("tests.play_line")
def play_line(params: dict[str, JsonValue], run: RunContext) -> dict[str, JsonValue]:
    """End as the script says; all items of one run of a map stand in one scope."""
    _, scope, _, index, _ = run.idempotency_key.split(":")
    item = params.get("item")
    line = playing[run.execution_id].line(run.block_id, (scope, index if item is None else ""))
    succeeds = line.status == COMPLETED if item is None else (line.items or ())[int(str(item))]
    if not succeeds:
        raise ToolError(ErrorType.AUTHORIZATION_ERROR, "as scripted", retryable=False)
    return dict(line.output)


def on_the_stack(block: dict[str, Any]) -> dict[str, Any]:
    """Return a block of a random workflow with the script as its work."""
    given = {"item": "${item}"} if "forEach" in block else {}
    work = {"toolType": "USE_CASE", "configuration": {"useCase": "tests.play_line", "input": given}}
    return {**block, **work, "retryPolicy": {"maxRetries": 0}}


@pytest.fixture
def played() -> Iterator[dict[str, Playing]]:
    yield playing
    playing.clear()


@pytest.mark.parametrize("seed", range(WORKFLOWS))
def test_ends_as_the_interpreter_says(seed: int, played: dict[str, Playing]) -> None:
    rng = Random(seed)
    workflow = random_workflow(rng, most_blocks=rng.choice((6, 10, 14)), features=FEATURES)
    definition = {
        **workflow.definition,
        "blocks": [on_the_stack(each) for each in workflow.definition["blocks"]],
    }
    execution = start(make_template(**definition))
    played[execution.public_id] = Playing(workflow.script)
    pauses = run_in_random_order(execution, rng)
    assert event_types(execution).count("execution_paused") == pauses
    execution = assert_consistent(execution)
    reference = followed(workflow, execution)
    assert placed_statuses(execution) == reference.statuses
    assert edges(execution, compile_plan(Definition.model_validate(definition))) == {
        (wire.source, wire.target, wire.error, path): kind for (wire, path), kind in reference.edges.items()
    }
    status, error_type = reference.outcome()
    assert execution.status == status, execution.error
    if error_type:
        assert execution.error is not None
        assert execution.error["type"] == error_type
    elif reference.unhandled:
        assert execution.error is not None
        assert execution.error["blockId"] in {name for name, _ in reference.unhandled}


def run_in_random_order(execution: Execution, rng: Random) -> int:
    """Run queued blocks until none is left; on a queue that is not the run's, nothing goes on in place.

    Now and then the run is paused for a while; returns how often.
    """
    pauses = 0
    for _ in range(MAX_STEPS):
        queued = queued_blocks(execution)
        if not queued:
            return pauses
        if rng.random() < PAUSES:
            pause_for_a_while(execution, rng)
            pauses += 1
        elif rng.random() < CROWDS:
            run_in_a_crowd(execution, rng)
        else:
            running.run_blocks(execution.pk, rng.choice(queued), rng.choice(QUEUES))
    raise AssertionError(f"{execution} is still not quiet after {MAX_STEPS} blocks")


def run_in_a_crowd(execution: Execution, rng: Random) -> None:
    """Run some queued blocks, each claimed and finished with or without the run's lock; settle what is left."""
    worker = live_worker()
    for row_id in rng.sample(queued := queued_blocks(execution), k=rng.randint(1, len(queued))):
        with locked_now_and_then(execution, rng):
            claim = claim_block(execution.pk, row_id, worker).claim
        if claim is None:
            continue  # the run began to fail meanwhile
        outcome = work_on(claim)
        if isinstance(outcome, Result):
            with locked_now_and_then(execution, rng):
                finish_block(claim, outcome)
        else:
            follow_up(write_outcome(claim, outcome, None), execution.pk)
    settle_again(execution.pk, execution.public_id)


def locked_now_and_then(execution: Execution, rng: Random) -> AbstractContextManager[None]:
    return locked_elsewhere(execution.pk) if rng.random() < 0.5 else nullcontext()


def pause_for_a_while(execution: Execution, rng: Random) -> None:
    """Pause a run, now and then with a block at work: whatever messages still come, nothing starts in it."""
    sent = queued_blocks(execution)
    worker = live_worker()
    at_work = claim_block(execution.pk, rng.choice(sent), worker).claim if rng.random() < 0.5 else None
    held = {at_work.block_execution_id} if at_work else set()
    pause_execution(execution.pk, ROBOT)
    assert running_blocks(execution) == held
    assert not queued_blocks(execution)
    for row_id in (*sent, *sent):
        assert not running.run_blocks(execution.pk, row_id, "default"), "a message came late, or twice"
    assert running_blocks(execution) == held
    if at_work:
        assert run_in_place(at_work, worker, rng.choice(QUEUES), set())[0] == 1, "nothing follows in place"
    assert not running_blocks(execution)
    assert not queued_blocks(execution)
    if Execution.objects.get(pk=execution.pk).status == "PAUSED":
        resume_execution(execution.pk, ROBOT)


def running_blocks(execution: Execution) -> set[int]:
    return set(
        BlockExecution.objects.filter(execution=execution, status="RUNNING").values_list("pk", flat=True)
    )


def followed(workflow: Workflow, execution: Execution) -> Interpreter:
    """Let the interpreter start and finish blocks in the order in which those of the execution ended."""
    reference = Interpreter(workflow.definition, workflow.script)
    reference.begin()
    rows = {row.pk: row for row in current_rows(execution)}
    paths = paths_by_scope(execution)
    for event in ExecutionEvent.objects.filter(execution_id=execution.pk, type__in=ENDS).order_by("seq"):
        row = rows.get(event.block_execution_id or 0)
        if row is None or row.kind != "block" or row.started_at is None:
            continue  # items, gates, and blocks that their guard failed
        place = place_of(row, paths)
        assert place in reference.ready, f"{place} ran, and the interpreter says it may not"
        reference.start(place)
        reference.finish(place)
    assert not reference.ready, "the interpreter still has something to run"
    return reference

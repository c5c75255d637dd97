"""Restarts of runs that were undone, wholly or in part: what was undone is done again, and nothing is done twice."""

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from pydantic import JsonValue

from executions_app import running
from executions_app.models import BlockExecution, Execution
from executions_app.services.control import cancel_execution
from tests.consistency import assert_consistent, assert_rebuilt
from tests.driver import queued_blocks
from tests.factories import branch, make_template, noop, start
from tests.restarting import ADA, finished, restart
from tests.thoroughness import WHOLE
from workflow_service.agents.errors import ToolError
from workflow_service.agents.use_cases import use_case
from workflow_service.engine.states import ErrorType

pytestmark = pytest.mark.usefixtures("db")

SEEDS = 6 if WHOLE else 2
MAX_STEPS = 500
ITEMS = ["a", "b", "c", "d"]

# What stands in the world outside by name, how often; what fails when it is done, and what when it is undone.
standing: Counter[str] = Counter()
done: list[str] = []
failing: set[str] = set()
stuck: set[str] = set()


@use_case("tests.build")
def build(params: dict[str, JsonValue]) -> dict[str, JsonValue]:
    name = str(params["name"])
    done.append(name)
    if name in failing:
        raise ToolError(ErrorType.VALIDATION_ERROR, f"{name} is to fail")
    standing[name] += 1
    given = params.get("gives")
    return {"built": name} | (given if isinstance(given, dict) else {})


@use_case("tests.tear_down")
def tear_down(params: dict[str, JsonValue]) -> dict[str, JsonValue]:
    name = str(params["name"])
    if name in stuck:
        raise ToolError(ErrorType.VALIDATION_ERROR, f"{name} cannot be undone")
    standing[name] -= 1
    assert standing[name] >= 0, f"{name} was undone more often than done"
    return {}


@pytest.fixture(autouse=True)
def an_empty_world() -> Iterator[None]:
    yield
    standing.clear()
    done.clear()
    failing.clear()
    stuck.clear()


def built(block_id: str, *after: str, name: str = "", gives: Any = None, **fields: Any) -> dict[str, Any]:
    """Return a block that builds something of its ``name``, and tears it down when the run fails."""
    given = {"name": name or block_id, "gives": gives or {}}
    undo = {"useCase": "tests.tear_down", "input": {"name": "${output.built}"}}
    return {
        "blockId": block_id,
        "toolType": "USE_CASE",
        "configuration": {"useCase": "tests.build", "input": given},
        "dependencies": list(after),
        "retryPolicy": {"maxRetries": 0},
        "recovery": {"compensate": {"toolType": "USE_CASE", "configuration": undo}},
        **fields,
    }


def mapped(block_id: str, *after: str, name: str = "${item}", **fields: Any) -> dict[str, Any]:
    return built(block_id, *after, name=name, forEach="workflow.input.items", **fields)


def twice(*body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a loop of two rounds; ``n`` is the round."""
    again = {"branches": [branch("n < 2", "open"), branch(None, "last")]}
    return [
        noop("begin", {"n": 0}),
        noop("open", {}, dependencies=["begin"]),
        *body,
        noop("count", {"n": "${n + 1}"}, dependencies=[body[-1]["blockId"]], conditions=again),
        built("last"),
    ]


WORKFLOWS: dict[str, list[dict[str, Any]]] = {
    "chain": [built("one"), built("two", "one"), built("last", "two")],
    "diamond": [built("top"), built("left", "top"), built("right", "top"), built("last", "left", "right")],
    "map": [built("first"), mapped("each", "first", maxConcurrency=2), built("last", "each")],
    "map with a window": [mapped("each", maxConcurrency=1), built("beside"), built("last", "each", "beside")],
    "loop": twice(built("turn", "open", name="turn${n}"), built("next", "turn", name="next${n}")),
    "map in a loop": twice(
        built("turn", "open", name="turn${n}"), mapped("each", "turn", name="${item}${n}", maxConcurrency=3)
    ),
}
NAMES: dict[str, set[str]] = {
    "chain": {"one", "two", "last"},
    "diamond": {"top", "left", "right", "last"},
    "map": {"first", *ITEMS, "last"},
    "map with a window": {*ITEMS, "beside", "last"},
    "loop": {"turn0", "next0", "turn1", "next1", "last"},
    "map in a loop": {"turn0", "turn1", *(f"{item}{n}" for item in ITEMS for n in (0, 1)), "last"},
}


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("shape", WORKFLOWS)
def test_everything_stands_once_in_the_end(shape: str, seed: int) -> None:
    rng = Random(f"{shape} {seed}")
    names = NAMES[shape]
    execution = start(make_template(WORKFLOWS[shape]), {"items": ITEMS})
    for _ in range(rng.randint(1, 2)):
        failing.clear()
        failing.add(rng.choice([rng.choice(sorted(names)), "last"]))
        stuck.clear()
        if rng.random() < 0.3:
            stuck.update(rng.sample(sorted(names), 2))
        fail(execution, rng)
        if Execution.objects.get(pk=execution.pk).status == "COMPLETED":
            break  # what is to fail now had been done before
        restart(execution, preserve_context=False)
    failing.clear()
    run_randomly(execution, rng)
    finished(execution)
    assert set(standing) == names
    twice_done = {name for name, times in standing.items() if times != 1}
    assert twice_done <= stuck, "only what could not be undone may stand twice"


def test_a_map_that_failed_in_a_later_round_is_not_resumed_in_an_earlier_one() -> None:
    blocks = [
        noop("begin", {"n": 0, "rooms": ["a", "b"]}),
        built("each", "begin", name="${item}", forEach="rooms"),
        noop(
            "count",
            {"n": "${n + 1}", "rooms": ["c"]},
            dependencies=["each"],
            conditions={"branches": [branch("n < 2", "each"), branch(None, "last")]},
        ),
        built("last"),
    ]
    failing.add("c")
    execution = start(make_template(blocks))
    run_randomly(execution, Random(1))
    assert set(standing) == {"a", "b"}
    assert not +standing, "the first round was undone as well"
    failing.clear()
    restart(execution, preserve_context=False)
    finished(execution)
    assert standing == Counter({"a": 1, "b": 1, "c": 1, "last": 1})


def test_items_that_were_not_undone_are_not_done_again() -> None:
    failing.add("last")
    execution = start(make_template(WORKFLOWS["map"]), {"items": ITEMS})
    rng = Random(1)
    run_randomly(execution, rng, until_undone=2)
    cancel_execution(execution.pk, ADA)
    left = {name for name, times in standing.items() if times}
    assert len(left) == 3
    failing.clear()
    done.clear()
    assert restart(execution, from_block="last").affected == ("each", "last")
    finished(execution)
    assert sorted(done) == sorted({*ITEMS, "last"} - left)


def test_a_map_that_is_named_does_all_its_items_again_undone_or_not() -> None:
    failing.add("last")
    execution = start(make_template(WORKFLOWS["map"]), {"items": ITEMS})
    run_randomly(execution, Random(1), until_undone=2)
    cancel_execution(execution.pk, ADA)
    failing.clear()
    done.clear()
    restart(execution, from_block="each")
    finished(execution)
    assert sorted(done) == sorted([*ITEMS, "last"])


def test_items_that_were_skipped_did_nothing_to_undo_after_a_restart_either() -> None:
    failing.update({"b", "last"})
    each = mapped("each", optional=True, defaultOutput={"built": "nothing"}, toleratedFailurePercentage=50)
    execution = start(
        make_template([each, mapped("other", "each", name="other${item}"), built("last", "other")]),
        {"items": ITEMS},
    )
    run_randomly(execution, Random(1), until_undone=5)
    cancel_execution(execution.pk, ADA)
    restart(execution)
    run_randomly(execution, Random(2))
    assert_consistent(execution)
    assert not standing["nothing"]
    assert not +standing


def fail(execution: Execution, rng: Random) -> None:
    """Let a run fail and be undone, to the end or until somebody cancels it."""
    if rng.random() < 0.5:
        run_randomly(execution, rng)
        assert_consistent(execution)
        return
    run_randomly(execution, rng, until_undone=rng.randint(0, 6))
    execution.refresh_from_db()
    if execution.status == "RECOVERING":
        cancel_execution(execution.pk, ADA)


def run_randomly(execution: Execution, rng: Random, *, until_undone: int = MAX_STEPS) -> None:
    """Run queued blocks in a random order until none is left, or so many were undone."""
    undone = BlockExecution.objects.filter(
        execution=execution, kind="undo", superseded=False, status__in=("COMPLETED", "FAILED")
    )
    for _ in range(MAX_STEPS):
        queued = queued_blocks(execution)
        compensating = Execution.objects.get(pk=execution.pk).status == "RECOVERING"
        if not queued or (compensating and undone.count() >= until_undone):
            assert_rebuilt(Execution.objects.get(pk=execution.pk))
            return
        running.run_blocks(execution.pk, rng.choice(queued), "other queue: nothing in place")
    raise AssertionError(f"{execution} is still not quiet after {MAX_STEPS} blocks")

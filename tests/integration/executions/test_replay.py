"""A run rebuilt from its events is the run: at its end, and at every moment before.

``CHAOS=full``, as `make chaos` has it, runs every seed; without it a test ends once it has seen what it wants to see.
"""

import json
from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from executions_app.models import BlockExecution, Execution, ExecutionEvent
from executions_app.replay import BlockKey, Fact, differences, read_facts, rebuild
from tests.consistency import assert_consistent
from tests.driver import run_until_quiet
from tests.factories import branch, make_template, noop, start
from tests.failing_work import new_key, unsteady_block, work
from tests.people import People, asking, make_people
from tests.reference.generator import Features, random_workflow
from tests.reference.script import COMPLETED, Line
from tests.stepper import Stepper
from tests.thoroughness import WHOLE
from workflow_service.agents.errors import ToolError
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.engine.states import ErrorType, ExecutionStatus

pytestmark = pytest.mark.usefixtures("db")


FEWEST_SEEDS = 4

_tries: Counter[str] = Counter()


def enough(seed: int, *, seen: bool) -> bool:
    """Say whether a test may end with ``seed``: it has ``seen`` all it wants, and the short form is run."""
    return seen and seed + 1 >= FEWEST_SEEDS and not WHOLE


@use_case("tests.end_as_told")
def end_as_told(params: dict[str, Any], run: RunContext) -> dict[str, Any]:
    """End with ``output``, or fail: for good if ``fails``, for so many tries if ``failsFirst``."""
    _tries[run.idempotency_key] += 1
    if params["fails"]:
        raise ToolError(ErrorType.AUTHORIZATION_ERROR, "as told")
    if _tries[run.idempotency_key] <= params["failsFirst"]:
        raise ToolError(ErrorType.NETWORK_ERROR, "as told, for now", retryable=True)
    return dict(params["output"])


def told(
    block_id: str, output: Any = None, *, fails: Any = False, fails_first: int = 0, **fields: Any
) -> dict[str, Any]:
    given = {"output": output or {}, "fails": fails, "failsFirst": fails_first}
    configuration = {"useCase": "tests.end_as_told", "input": given}
    return {"blockId": block_id, "toolType": "USE_CASE", "configuration": configuration, **fields}


@pytest.fixture(scope="module")
def people(db: None) -> People:
    return make_people()


def agrees_always(
    execution: Execution,
    rng: Random,
    people: People | None = None,
    loses: float = 0.05,
    statuses: set[str] | None = None,
) -> Execution:
    """Run in random steps; then rebuild each moment from the events up to it and compare it with its rows."""
    stepper = Stepper(execution, rng, people.alice if people else None, loses=loses)
    ended = stepper.run()
    facts = read_facts(ended)
    assert [fact.seq for fact in facts] == list(range(1, ended.event_seq + 1))
    for snapshot in stepper.snapshots:
        until = snapshot.execution.event_seq
        assert list(differences(rebuild(facts[:until]), snapshot.execution, snapshot.rows)) == [], until
        if statuses is not None:
            statuses.add(snapshot.execution.status)
    assert_consistent(ended)
    return ended


@use_case("tests.follow_line")
def follow_line(params: dict[str, Any], run: RunContext) -> dict[str, Any]:
    """End as the next of ``lines`` says; an item of a map as the line says of it."""
    item = params.get("item")
    if item is None:
        line = params["lines"][(_tries[run.execution_id + run.block_id]) % len(params["lines"])]
        _tries[run.execution_id + run.block_id] += 1
        succeeds = line["succeeds"]
    else:
        line = params["lines"][0]
        succeeds = line["items"][item]
    if not succeeds:
        raise ToolError(ErrorType.AUTHORIZATION_ERROR, "as its line says")
    return dict(line["output"])


def following(block: dict[str, Any], lines: Iterable[Line]) -> dict[str, Any]:
    """Return a block of a random workflow with what is written for it as its work."""
    told = [
        {"succeeds": line.status == COMPLETED, "output": dict(line.output), "items": list(line.items or ())}
        for line in lines
    ]
    item = {"item": "${item}"} if "forEach" in block else {}
    configuration = {"useCase": "tests.follow_line", "input": {"lines": told, **item}}
    return {**block, "toolType": "USE_CASE", "configuration": configuration, "retryPolicy": {"maxRetries": 0}}


def types_of(execution: Execution) -> set[str]:
    return set(ExecutionEvent.objects.filter(execution_id=execution.pk).values_list("type", flat=True))


def test_random_workflows_are_rebuilt_at_every_moment() -> None:
    wanted = {"blocks_skipped", "gates_passed", "block_failed", "block_lost", "loop_ended", "map_ended"}
    seen: set[str] = set()
    for seed in range(24):
        rng = Random(seed)
        workflow = random_workflow(rng, features=Features(questions=False, rejections=False))
        blocks = [
            following(block, workflow.script[block["blockId"]]) for block in workflow.definition["blocks"]
        ]
        execution = start(make_template(**{**workflow.definition, "blocks": blocks}))
        seen |= types_of(agrees_always(execution, rng))
        if enough(seed, seen=seen >= wanted):
            break
    assert seen >= wanted


class Author:
    """Writes a row of stretches, each a loop, a map, a choice or a question, with random failures in them."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.blocks: list[dict[str, Any]] = [noop("begin", {"n": 0, "m": 0})]
        self.last = "begin"
        self.number = 0

    def write(self, stretches: int) -> list[dict[str, Any]]:
        for _ in range(stretches):
            self.rng.choice([self.loop, self.map, self.choice, self.question, self.flaky, self.nested])()
        return self.blocks

    def name(self, kind: str) -> str:
        self.number += 1
        return f"{kind}{self.number}"

    def add(self, block: dict[str, Any], **fields: Any) -> str:
        self.blocks.append({**block, "dependencies": [self.last], **fields})
        self.last = str(block["blockId"])
        return self.last

    def back(self, name: str, source: str, to: str, counter: str) -> None:
        """Add a block that leads back while ``counter`` is small, and the block behind it."""
        behind = self.name("behind")
        rounds = self.rng.randint(1, 3)
        ways = {"branches": [branch(f"{counter} < {rounds}", to), branch(None, behind)]}
        self.blocks.append(
            noop(name, {counter: f"${{{counter} + 1}}"}, dependencies=[source], conditions=ways)
        )
        self.blocks.append(noop(behind, {counter: 0}))
        self.last = behind

    def loop(self) -> None:
        entry = self.add(noop(self.name("entry"), {}), maxRounds=self.rng.choice([2, 5]))
        left, right = self.name("left"), self.name("right")
        self.blocks.append(told(left, {}, fails=self.rng.random() < 0.1, dependencies=[entry]))
        self.blocks.append(noop(right, {}, dependencies=[entry], conditions={"expression": "n != 1"}))
        meet = self.name("meet")
        self.blocks.append(noop(meet, {}, dependencies=[left, right]))
        self.back(self.name("count"), meet, entry, "n")

    def nested(self) -> None:
        outer = self.add(noop(self.name("outer"), {}))
        self.loop()
        self.back(self.name("again"), self.last, outer, "m")

    def map(self) -> None:
        values = [[self.rng.random() < 0.2] for _ in range(self.rng.randint(0, 6))]
        block = told(self.name("map"), {}, fails="${item[0]}", forEach=json.dumps(values).lower())
        block["toleratedFailurePercentage"] = self.rng.choice([0, 30, 100])
        if self.rng.random() < 0.7:
            block["maxConcurrency"] = self.rng.randint(1, 3)
        self.add(block)

    def choice(self) -> None:
        chooser, one, other = self.name("choose"), self.name("one"), self.name("other")
        ways = {"branches": [branch("c == 1", one), branch(None, other)]}
        self.add(noop(chooser, {"c": self.rng.randint(0, 1)}), conditions=ways)
        self.blocks += [noop(one, {}), told(other, {}, fails=self.rng.random() < 0.2, onError=[one])]
        self.blocks.append(noop(self.name("join"), {}, dependencies=[one, other]))
        self.last = self.blocks[-1]["blockId"]

    def question(self) -> None:
        self.add(asking(self.name("ask")))

    def flaky(self) -> None:
        retries, fails_first = self.rng.randint(1, 2), self.rng.choice([1, 1, 2, 3])
        self.add(
            told(self.name("flaky"), {}, fails_first=fails_first),
            retryPolicy={"maxRetries": retries},
            onFailure="continue",
        )


def test_loops_maps_and_questions_are_rebuilt_at_every_moment(people: People) -> None:
    wanted = {
        "loop_round_started", "loop_ended", "loop_limit_reached", "map_expanded", "map_ended", "blocks_skipped",
        "blocks_cancelled", "block_retrying", "block_woken", "block_lost", "block_rejected", "execution_waiting",
        "approval_requested", "approval_responded", "execution_completed", "execution_failed",
    }  # fmt: skip
    seen: set[str] = set()
    for seed in range(32):
        rng = Random(seed)
        blocks = Author(rng).write(rng.randint(2, 5))
        settings = {"onFailure": rng.choice(["fail", "continue"]), "maxParallelBlocks": rng.randint(1, 4)}
        template = make_template(blocks, workspace=people.workspace, globalSettings=settings)
        seen |= types_of(agrees_always(start(template), rng, people))
        if enough(seed, seen=seen >= wanted):
            break
    assert seen >= wanted


def test_what_a_failing_run_cancels_is_rebuilt_as_cancelled(people: People) -> None:
    """Blocks that are queued, ask, are to be tried again, are maps with items or items of them."""
    cancelled: set[str] = set()
    for seed in range(8):
        blocks = [
            noop("begin"),
            told("breaks", fails=True, dependencies=["begin"]),
            asking("asks", fields={"dependencies": ["begin"]}),
            told("again", fails_first=1, dependencies=["begin"], retryPolicy={"maxRetries": 1}),
            noop("each", "${item}", dependencies=["begin"], forEach="[1, 2, 3, 4]", maxConcurrency=2),
            *(noop(f"queued{n}", dependencies=["begin"]) for n in range(3)),
        ]
        template = make_template(blocks, workspace=people.workspace, globalSettings={"maxParallelBlocks": 4})
        execution = start(template)
        assert agrees_always(execution, Random(seed), people, loses=0.0).status == "FAILED"
        rows = BlockExecution.objects.filter(execution=execution, status="CANCELLED")
        cancelled |= {f"{row.block_id} {row.kind}" for row in rows}
    expected = {"asks block", "again block", "each block", "each item", "queued0 block"}
    assert cancelled >= expected, expected - cancelled


def test_the_recovery_ladder_is_rebuilt_at_every_moment(people: People) -> None:
    wanted = {"recovery_action", "block_retrying", "block_woken", "block_waiting", "approval_responded"}
    seen: set[str] = set()
    statuses: set[str] = set()
    for seed in range(24):
        rng = Random(seed)
        ways: list[dict[str, Any]] = [
            {"fallback": work(new_key())},
            {"agents": ["one", "two"], "strategies": ["reassign"]},
            {"strategies": ["queue"], "maxQueued": 1},
            {"escalate": {"assignees": ["alice"]}},
        ]
        undone = {"compensate": work(new_key(), fails=rng.choice([0, 0, 9]))}
        blocks = [
            noop("first", {"n": 1}, recovery=undone),
            noop("second", {"n": 2}, dependencies=["first"], recovery=undone),
            *(
                unsteady_block(
                    f"shaky{n}",
                    new_key(),
                    fails=rng.choice([0, 1, 1, 2, 9]),
                    error=rng.choice(["NETWORK_ERROR", "AGENT_UNAVAILABLE", "VALIDATION_ERROR"]),
                    fields={"dependencies": ["second"], "recovery": way, "agentId": "own"},
                )
                for n, way in enumerate(rng.sample(ways, 2))
            ),
        ]
        execution = start(make_template(blocks, workspace=people.workspace))
        seen |= types_of(agrees_always(execution, rng, people, statuses=statuses))
        if enough(seed, seen=seen >= wanted and "RECOVERING" in statuses):
            break
    assert seen >= wanted
    assert "RECOVERING" in statuses


def test_a_block_lost_too_often_is_rebuilt_as_failed() -> None:
    execution = agrees_always(
        start(make_template([noop("a"), noop("b", dependencies=["a"])])), Random(1), loses=1.0
    )
    assert execution.status == "FAILED"


def test_what_is_missing_in_the_events_is_noticed() -> None:
    execution = run_until_quiet(start(make_template([noop("a"), noop("b", dependencies=["a"])])))
    facts, rows = read_facts(execution), list(BlockExecution.objects.filter(execution=execution))
    with pytest.raises(ValueError, match="event 3 is missing before 4"):
        rebuild([*facts[:2], *facts[3:]])
    found = list(differences(rebuild(facts[:4]), execution, rows))
    assert any(line.startswith("status: RUNNING by its events, COMPLETED") for line in found)
    assert any("block_id='b'" in line and "RUNNING by its events" in line for line in found)
    assert any(line.startswith("completed_blocks: 1 by its events, 2") for line in found)
    assert list(differences(rebuild(facts), execution, rows[:1])) == [
        f"{BlockKey(0, 0, 'b')}: COMPLETED by its events, and there is no such row"
    ]


def test_a_restart_puts_rows_aside_and_counts_anew() -> None:
    a, b = BlockKey(0, 0, "a"), BlockKey(0, 0, "b")
    facts = [
        Fact(1, "execution_started"),
        Fact(2, "block_started", key=a),
        Fact(3, "block_completed", key=a),
        Fact(4, "block_started", key=b),
        Fact(5, "block_failed", key=b),
        Fact(6, "execution_failed"),
        Fact(7, "execution_restarted", superseded=frozenset({b})),
        Fact(8, "block_started", key=b),
    ]
    run = rebuild(facts[:7])
    assert (run.status, run.completed_blocks, run.failed_blocks) == (ExecutionStatus.RUNNING, 1, 0)
    run = rebuild(facts)
    assert (run.blocks[b].status, run.blocks[b].generation, run.blocks[a].generation) == ("RUNNING", 2, 1)


def test_a_paused_run_stays_so_whatever_ends_in_it() -> None:
    a = BlockKey(0, 0, "a")
    facts = [
        Fact(1, "execution_started"),
        Fact(2, "block_started", key=a),
        Fact(3, "execution_paused"),
        Fact(4, "block_completed", key=a),
        Fact(5, "execution_resumed"),
        Fact(6, "execution_cancelled"),
    ]
    assert [rebuild(facts[:n]).status.value for n in range(1, 7)] == [
        "STARTING",
        "RUNNING",
        "PAUSED",
        "PAUSED",
        "RUNNING",
        "CANCELLED",
    ]


class TestCommand:
    """``manage.py replay``."""

    @pytest.fixture
    def execution(self) -> Execution:
        return run_until_quiet(start(make_template([noop("a"), noop("b", dependencies=["a"])])))

    def test_shows_a_moment(self, execution: Execution, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("replay", execution.public_id, "--at", "4")
        assert capsys.readouterr().out.splitlines() == [
            "after event 4: RUNNING, 1 completed, 0 failed, 0 skipped, 0 waiting",
            "  a: COMPLETED",
            "  b: RUNNING",
        ]

    def test_prints_json(self, execution: Execution, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("replay", execution.public_id, "--json")
        document = json.loads(capsys.readouterr().out)
        assert (document["status"], document["completedBlocks"], document["seq"]) == ("COMPLETED", 2, 6)
        assert document["blocks"][0] == {
            "scope": 0, "index": 0, "blockId": "a", "status": "COMPLETED", "generation": 1,
        }  # fmt: skip

    def test_checks_the_rows(self, execution: Execution, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("replay", execution.public_id, "--check")
        assert capsys.readouterr().out.endswith("The rows agree.\n")
        BlockExecution.objects.filter(execution=execution, block_id="b").update(status="FAILED")
        with pytest.raises(CommandError, match="COMPLETED by its events, FAILED by its row") as caught:
            call_command("replay", execution.public_id, "--check")
        assert caught.value.returncode == 1

    def test_refuses_what_is_not_there(self, execution: Execution) -> None:
        for arguments, message in (
            (["exec_unknown"], "there is no execution 'exec_unknown'"),
            ([execution.public_id, "--at", "7"], "has events 1 to 6, and none with the number 7"),
            ([execution.public_id, "--at", "0"], "none with the number 0"),
            ([execution.public_id, "--at", "2", "--check"], "leave out --at"),
        ):
            with pytest.raises(CommandError, match=message) as caught:
                call_command("replay", *arguments)
            assert caught.value.returncode == 2
        assert ExecutionEvent.objects.filter(execution_id=execution.pk).count() == 6

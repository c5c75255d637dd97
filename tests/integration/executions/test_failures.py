"""Runs in which something fails while something else is under way: all of them end, and their counters agree."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import JsonValue

from executions_app import settlement
from executions_app.aftermath import follow_up, settle_again
from executions_app.claiming import claim_block
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution, BlockOutput, ContextValue, Execution, ExecutionLog
from executions_app.parking import park, take_back, wake_retries
from executions_app.progress import Claim
from executions_app.worker_identity import worker_id
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, retry_later, run_until_quiet
from tests.factories import event_types, make_template, noop, start, statuses
from tests.locks import locked_elsewhere
from workflow_service.agents.errors import ToolError
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.engine.decide import Settlement
from workflow_service.engine.decide import settle as engine_settle
from workflow_service.engine.plan import Plan
from workflow_service.engine.states import BlockStatus, ErrorType

pytestmark = pytest.mark.usefixtures("db")

FAILED = Result(BlockStatus.FAILED, error={"type": "SYSTEM_ERROR", "message": "broken", "retryable": False})
DONE = Result(BlockStatus.COMPLETED, output={})


def claim_all(execution: Execution) -> dict[str, Claim]:
    """Claim every queued block of a run, by block id."""
    claims = {}
    for block in queued_blocks(execution):
        claim = claim_block(execution.pk, block, worker_id()).claim
        assert claim is not None
        claims[BlockExecution.objects.get(pk=block).block_id] = claim
    return claims


def two_at_work() -> tuple[Execution, Claim, Claim]:
    execution = start(make_template([noop("one"), noop("two"), noop("after", dependencies=["one", "two"])]))
    claims = claim_all(execution)
    return execution, claims["one"], claims["two"]


def test_a_retry_of_a_failing_run_does_not_keep_it_from_ending() -> None:
    execution, one, two = two_at_work()
    finish_block(one, FAILED)
    retry_later(two, {"type": "NETWORK_ERROR", "message": "again"}, 0.0)
    wake_retries(execution.pk)
    assert assert_consistent(execution).status == "FAILED"
    assert statuses(execution)["two"] == "CANCELLED"


def test_a_question_of_a_failing_run_is_not_asked() -> None:
    execution, one, two = two_at_work()
    finish_block(one, FAILED)
    asked: list[str] = []
    park(two, waits_for="person", record=lambda: asked.append("asked"))
    assert assert_consistent(execution).status == "FAILED"
    assert statuses(execution)["two"] == "CANCELLED"
    assert not asked


def test_a_root_whose_guard_cannot_be_read_ends_the_run() -> None:
    execution = start(
        make_template([noop("guarded", conditions={"expression": "nobody_wrote_this"}), noop("other")])
    )
    assert assert_consistent(execution).status == "FAILED"
    assert statuses(execution) == {"guarded": "FAILED", "other": "CANCELLED"}


def finish_without_lock(claim: Claim, result: Result) -> None:
    """Finish a block while somebody else holds its run's lock."""
    with locked_elsewhere(claim.execution_id):
        assert finish_block(claim, result).accepted


@pytest.mark.parametrize("outcome", [DONE, FAILED])
def test_a_block_taken_back_settles_what_others_finished_once(outcome: Result) -> None:
    execution, one, two = two_at_work()
    finish_without_lock(one, outcome)
    follow_up(take_back(execution.pk, [(two.block_execution_id, two.fence)]), execution.pk)
    assert_consistent(run_until_quiet(execution))
    assert event_types(execution).count("block_completed") == 3 if outcome is DONE else 1


def test_a_key_that_is_too_long_for_the_context_stays_in_the_output() -> None:
    key = "k" * 300
    execution = run_until_quiet(start(make_template([noop("one", {key: 1, "short": 2})])))
    assert assert_consistent(execution).status == "COMPLETED"
    assert list(context_of(execution)) == ["short"]
    assert BlockOutput.objects.get(execution_id=execution.pk).value == {key: 1, "short": 2}
    assert ExecutionLog.objects.filter(execution_id=execution.pk, level=ExecutionLog.Level.WARNING).exists()


@use_case("tests.log_oddly")
def log_oddly(params: dict[str, JsonValue], run: RunContext) -> dict[str, JsonValue]:
    run.log("INFO", "odd", nul="a\x00b", when=datetime.now(UTC), fine=1)  # type: ignore[arg-type]
    return {"done": True}


def test_a_log_line_that_cannot_be_kept_as_it_is_does_not_cost_the_result() -> None:
    block = {"blockId": "odd", "toolType": "USE_CASE", "configuration": {"useCase": "tests.log_oddly"}}
    execution = run_until_quiet(start(make_template([block])))
    assert assert_consistent(execution).status == "COMPLETED"
    context = ExecutionLog.objects.get(execution_id=execution.pk, message="odd").context
    assert context["fine"] == 1
    assert "a" in context["nul"]
    assert "datetime" in context["when"]


@use_case("tests.fail_oddly")
def fail_oddly(params: dict[str, JsonValue]) -> dict[str, JsonValue]:
    raise ToolError(ErrorType.NETWORK_ERROR, "odd", details={"answer": "a\x00b\ud800"})


def test_an_error_that_cannot_be_kept_as_it_is_is_retried_all_the_same() -> None:
    block = {"blockId": "odd", "toolType": "USE_CASE", "configuration": {"useCase": "tests.fail_oddly"}}
    execution = run_until_quiet(start(make_template([block])))
    assert assert_consistent(execution).status == "RUNNING"
    (row,) = BlockExecution.objects.filter(execution=execution)
    assert (row.status, row.retries, row.losses) == ("RETRYING", 1, 0)
    assert row.error is not None
    assert row.error["message"] == "odd"


@use_case("tests.spoil_input")
def spoil_input(params: dict[str, Any]) -> dict[str, JsonValue]:
    params["rows"].append("spoiled")
    params["whole"]["rows"].append("spoiled")
    return {}


def test_a_use_case_that_changes_its_input_changes_it_for_nobody_else() -> None:
    given = {"rows": "${workflow.input.rows}", "whole": "${workflow.input}"}
    spoils = {
        "blockId": "spoils",
        "toolType": "USE_CASE",
        "configuration": {"useCase": "tests.spoil_input", "input": given},
    }
    reads = noop("reads", {"seen": "${workflow.input.rows}"}, dependencies=["spoils"])
    execution = run_until_quiet(start(make_template([spoils, reads]), {"rows": [1]}))
    assert execution.status == "COMPLETED", execution.error
    assert BlockOutput.objects.get(execution_id=execution.pk, block_id="reads").value == {"seen": [1]}


@pytest.fixture
def poisonous(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the engine break on every block named ``poison``: only a bug can do that, so it must be put there."""

    def settle(plan: Plan, node: int, *arguments: Any, **options: Any) -> Settlement:
        if plan.nodes[node].id == "poison":
            raise RuntimeError("a bug")
        return engine_settle(plan, node, *arguments, **options)

    monkeypatch.setattr(settlement, "settle", settle)


@pytest.mark.usefixtures("poisonous")
def test_a_row_that_cannot_be_settled_fails_alone() -> None:
    execution = start(
        make_template([noop("poison"), noop("fine", {"kept": 1}), noop("next", dependencies=["fine"])])
    )
    claims = claim_all(execution)
    finish_without_lock(claims["poison"], DONE)
    finish_block(claims["fine"], Result(BlockStatus.COMPLETED, output={"kept": 1}))
    settle_again(execution.pk, execution.public_id)
    assert assert_consistent(execution).status == "FAILED"
    execution.refresh_from_db()
    assert execution.error is not None
    assert (execution.error["type"], execution.error["blockId"]) == ("SETTLEMENT_ERROR", "poison")
    assert statuses(execution)["fine"] == "COMPLETED"
    assert context_of(execution) == {"kept": 1}


@pytest.mark.usefixtures("poisonous")
def test_a_row_that_cannot_be_settled_keeps_no_other_from_being_put_aside() -> None:
    execution = start(make_template([noop("poison"), noop("retries"), noop("asks"), noop("lost")]))
    claims = claim_all(execution)
    finish_without_lock(claims["poison"], DONE)
    retry_later(claims["retries"], {"type": "NETWORK_ERROR", "message": "again"}, 60.0)
    park(claims["asks"], waits_for="person", record=dict)
    take_back(execution.pk, [(claims["lost"].block_execution_id, claims["lost"].fence)])
    found = statuses(execution)
    assert (found["retries"], found["asks"], found["lost"]) == ("RETRYING", "WAITING", "QUEUED")
    assert_consistent(execution)
    settle_again(execution.pk, execution.public_id)
    assert assert_consistent(execution).status == "FAILED"


def test_a_block_that_was_claimed_without_the_lock_starts_before_it_is_put_aside() -> None:
    execution = start(make_template([noop("one"), noop("two"), noop("three")]))
    claims = {}
    with locked_elsewhere(execution.pk):
        claims = claim_all(execution)
    retry_later(claims["one"], {"type": "NETWORK_ERROR", "message": "again"}, 60.0)
    park(claims["two"], waits_for="person", record=dict)
    take_back(execution.pk, [(claims["three"].block_execution_id, claims["three"].fence)])
    assert_consistent(execution)
    assert event_types(execution) == [
        "execution_started",
        "block_started",
        "recovery_action",
        "block_retrying",
        "block_started",
        "block_waiting",
        "approval_requested",
        "block_started",
        "block_lost",
    ]


def test_more_blocks_than_a_batch_finished_at_once_are_settled() -> None:
    width = 210
    parts = [noop(f"part{n}", {f"value{n}": n}) for n in range(width)]
    join = noop("join", dependencies=[f"part{n}" for n in range(width)])
    execution = start(make_template([*parts, join], globalSettings={"maxParallelBlocks": width}))
    claims = claim_all(execution)
    with locked_elsewhere(execution.pk):
        for claim in claims.values():
            assert finish_block(claim, DONE).accepted
    settle_again(execution.pk, execution.public_id)
    assert_consistent(execution)
    assert run_until_quiet(execution).status == "COMPLETED"
    assert_consistent(execution)


def context_of(execution: Execution) -> dict[str, Any]:
    """Return every value that a run's blocks put into the context, the last of each key."""
    rows = ContextValue.objects.filter(execution_id=execution.pk).order_by("seq")
    return {row.key: row.value for row in rows}

"""The runner on real Postgres, block by block: what runs, what is skipped, how a run ends, what is written down."""

from typing import Any

import psycopg
import pytest
from django.db import connection

from executions_app import aftermath, running
from executions_app.aftermath import follow_up, settle_again
from executions_app.claiming import claim_block
from executions_app.finishing import Result, finish_block, settle_execution
from executions_app.models import BlockExecution, BlockOutput, ContextValue, ExecutionEvent, ExecutionLog
from executions_app.parking import take_back
from executions_app.worker_identity import worker_id
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import branch, event_types, make_template, noop, start, statuses
from tests.locks import locked_elsewhere
from workflow_service.engine.states import BlockStatus
from workflow_service.settings.config import get_config

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_chain_runs_in_order_and_is_written_down() -> None:
    template = make_template(
        [
            noop("first", {"total": 3}),
            noop("second", {"text": "${total} of ${workflow.input.name}"}, dependencies=["first"]),
        ]
    )
    execution = run_until_quiet(start(template, {"name": "many"}))
    assert (execution.status, execution.active, execution.slots, execution.ready) == ("COMPLETED", 0, 0, 0)
    assert BlockOutput.objects.get(block_id="second").value == {"text": "3 of many"}
    assert event_types(execution) == [
        "execution_started",
        "block_started",
        "block_completed",
        "block_started",
        "block_completed",
        "execution_completed",
    ]
    numbers = (
        ExecutionEvent.objects.filter(execution_id=execution.pk).order_by("seq").values_list("seq", flat=True)
    )
    assert list(numbers) == list(range(1, 7))
    logged = ExecutionLog.objects.filter(execution_id=execution.pk).values_list("message", flat=True)
    assert [
        line
        for line in logged
        if line.startswith(f"Workflow {execution.public_id} completed successfully in")
    ]


def test_branches_skip_what_is_not_chosen_and_merge_once() -> None:
    template = make_template(
        [
            noop(
                "ask",
                {"size": 7},
                conditions={"branches": [branch("size > 5", "big"), branch(None, "small")]},
            ),
            noop("big"),
            noop("small"),
            noop("merge", dependencies=["big", "small"]),
        ]
    )
    execution = run_until_quiet(start(template))
    assert execution.status == "COMPLETED"
    assert statuses(execution) == {
        "ask": "COMPLETED",
        "big": "COMPLETED",
        "small": "SKIPPED",
        "merge": "COMPLETED",
    }
    assert (execution.completed_blocks, execution.skipped_blocks, execution.failed_blocks) == (3, 1, 0)


def test_parallel_blocks_join_and_their_outputs_meet_in_the_context() -> None:
    template = make_template(
        [
            noop("split"),
            *(noop(f"part{n}", {f"value{n}": n}, dependencies=["split"]) for n in range(5)),
            noop("join", {"sum": "${value0 + value4}"}, dependencies=[f"part{n}" for n in range(5)]),
        ]
    )
    execution = run_until_quiet(start(template))
    assert execution.status == "COMPLETED"
    assert BlockOutput.objects.get(block_id="join").value == {"sum": 4}
    assert ContextValue.objects.filter(execution_id=execution.pk).count() == 6


def test_parallel_blocks_are_limited_and_the_rest_wait_their_turn() -> None:
    template = make_template([noop(f"part{n}") for n in range(5)], globalSettings={"maxParallelBlocks": 2})
    execution = start(template)
    assert len(queued_blocks(execution)) == 2
    assert run_until_quiet(execution).status == "COMPLETED"


def test_an_error_edge_handles_a_failure() -> None:
    template = make_template(
        [
            noop("charge", {"x": "${missing}"}, onError=["refund"]),
            noop("ship", dependencies=["charge"]),
            noop("refund"),
        ]
    )
    execution = run_until_quiet(start(template))
    assert execution.status == "COMPLETED"
    assert statuses(execution) == {"charge": "FAILED", "ship": "SKIPPED", "refund": "COMPLETED"}
    error = BlockExecution.objects.get(execution=execution, block_id="charge").error
    assert error is not None
    assert error["type"] == "CONFIGURATION_ERROR"
    assert "missing" in error["message"]


def test_an_unhandled_failure_starts_nothing_new_and_fails_the_run() -> None:
    template = make_template(
        [
            noop("breaks", {"x": "${missing}"}),
            noop("after", dependencies=["breaks"]),
            noop("waits"),
            noop("later", dependencies=["waits"]),
        ],
        globalSettings={"maxParallelBlocks": 1},
    )
    execution = run_until_quiet(start(template))
    assert (execution.status, execution.active, execution.slots, execution.ready) == ("FAILED", 0, 0, 0)
    assert statuses(execution)["waits"] == "CANCELLED"
    assert "later" not in statuses(execution)
    assert execution.error is not None
    assert execution.error["blockId"] == "breaks"


def test_continue_skips_only_what_depends_on_the_failure() -> None:
    template = make_template(
        [
            noop("breaks", {"x": "${missing}"}),
            noop("after", dependencies=["breaks"]),
            noop("apart"),
            noop("later", dependencies=["apart"]),
        ],
        globalSettings={"onFailure": "continue"},
    )
    execution = run_until_quiet(start(template))
    assert execution.status == "FAILED"
    assert statuses(execution) == {
        "breaks": "FAILED",
        "after": "SKIPPED",
        "apart": "COMPLETED",
        "later": "COMPLETED",
    }


def test_no_branch_matched_names_the_conditions_and_keeps_the_work() -> None:
    template = make_template(
        [
            noop("sort", {"urgency": "low"}, conditions={"branches": [branch("urgency == 'high'", "rush")]}),
            noop("rush"),
        ]
    )
    execution = run_until_quiet(start(template))
    assert execution.status == "FAILED"
    block = BlockExecution.objects.get(execution=execution, block_id="sort")
    assert block.error is not None
    assert block.error["type"] == "NO_BRANCH_MATCHED"
    assert "urgency == 'high'" in block.error["message"]
    assert BlockOutput.objects.get(block_execution=block).value == {"urgency": "low"}


def test_a_guard_that_is_false_skips_its_block() -> None:
    template = make_template(
        [
            noop("look", {"needed": False}),
            noop("work", dependencies=["look"], conditions={"expression": "needed"}),
            noop("after", dependencies=["work"]),
        ]
    )
    execution = run_until_quiet(start(template))
    assert execution.status == "COMPLETED"
    assert statuses(execution) == {"look": "COMPLETED", "work": "SKIPPED", "after": "SKIPPED"}


def test_a_gate_whose_condition_cannot_be_read_fails_the_run() -> None:
    template = make_template(
        [noop("one"), noop("two"), noop("after")],
        gates=[{"sources": ["one", "two"], "branches": [branch("nobody_wrote_this", "after")]}],
    )
    execution = run_until_quiet(start(template))
    assert execution.status == "FAILED"
    assert statuses(execution)["[one,two]"] == "FAILED"
    assert "nobody_wrote_this" in str(execution.error)


def test_a_duplicate_message_does_nothing() -> None:
    execution = start(make_template([noop("once")]))
    (block,) = queued_blocks(execution)
    assert claim_block(execution.pk, block, worker_id()).claim is not None
    assert claim_block(execution.pk, block, worker_id()).claim is None


def test_a_zombies_result_is_thrown_away() -> None:
    execution = start(make_template([noop("once")]))
    (block,) = queued_blocks(execution)
    zombie = claim_block(execution.pk, block, worker_id()).claim
    assert zombie is not None
    take_back(execution.pk, [(zombie.block_execution_id, zombie.fence)])
    result = Result(BlockStatus.COMPLETED, output={"by": "zombie"})
    assert not finish_block(zombie, result).accepted
    execution = run_until_quiet(execution)
    assert execution.status == "COMPLETED"
    assert BlockOutput.objects.get(block_execution_id=block).value == {}
    assert event_types(execution).count("block_completed") == 1


def test_a_block_that_loses_worker_after_worker_fails() -> None:
    execution = start(make_template([noop("cursed")]))
    (block,) = queued_blocks(execution)
    for _ in range(5):
        claim = claim_block(execution.pk, block, worker_id()).claim
        assert claim is not None
        follow_up(take_back(execution.pk, [(block, claim.fence)]), execution.pk)
    execution.refresh_from_db()
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert execution.error["type"] == "WORKER_LOST"
    assert (execution.active, execution.slots) == (0, 0)


def test_a_result_written_without_the_lock_is_settled_by_the_next_who_has_it() -> None:
    execution = start(make_template([noop("one"), noop("two", dependencies=["one"])]))
    (block,) = queued_blocks(execution)
    claim = claim_block(execution.pk, block, worker_id()).claim
    assert claim is not None
    with psycopg.connect(get_config().postgres_url(), dbname=connection.settings_dict["NAME"]) as holder:
        holder.execute(
            "SELECT 1 FROM executions_app_execution WHERE id = %s FOR NO KEY UPDATE", [execution.pk]
        )
        aftermath = finish_block(claim, Result(BlockStatus.COMPLETED, output={}))
        assert aftermath.accepted
        assert aftermath.unsettled
        assert settle_execution(execution.pk) is None
        execution.refresh_from_db()
        assert execution.active == 1
    settled = settle_execution(execution.pk)
    assert settled is not None
    assert [queued.block_id for queued in settled.queued] == ["two"]
    assert run_until_quiet(execution).status == "COMPLETED"


@pytest.mark.parametrize("ends", ["finish", "claim"])
def test_an_execution_ends_no_earlier_than_its_last_block(ends: str) -> None:
    execution = start(make_template([noop("one"), noop("two")]))
    first, second = queued_blocks(execution)
    claim = claim_block(execution.pk, first, worker_id()).claim
    assert claim is not None
    if ends == "finish":
        finish_block(claim, Result(BlockStatus.COMPLETED, output={}))
    execution.refresh_from_db()
    assert execution.status == "RUNNING"
    assert second in queued_blocks(execution)


def test_a_null_in_an_output_is_a_null_in_the_context() -> None:
    template = make_template(
        [
            noop("none", {"problem": None, "parts": {"inner": None}}),
            noop(
                "reads",
                {"was": "${problem}"},
                dependencies=["none"],
                conditions={"expression": "problem == None"},
            ),
        ]
    )
    execution = run_until_quiet(start(template))
    assert execution.status == "COMPLETED"
    assert BlockOutput.objects.get(block_id="reads").value == {"was": None}
    assert ContextValue.objects.get(execution_id=execution.pk, key="problem").value is None


def test_a_claim_that_held_the_lock_says_what_others_left_to_it() -> None:
    execution = start(make_template([noop("one"), noop("two")]))
    one, two = queued_blocks(execution)
    worker = worker_id()
    first = claim_block(execution.pk, one, worker)
    assert first.claim is not None
    assert not first.unsettled
    with locked_elsewhere(execution.pk):
        finish_block(first.claim, Result(BlockStatus.COMPLETED, output={}))
    assert claim_block(execution.pk, two, worker).unsettled
    assert claim_block(execution.pk, two, worker).claim is None
    follow_up(take_back(execution.pk, [(two, 1)]), execution.pk)
    assert run_until_quiet(execution).status == "COMPLETED"


def test_a_finisher_that_finds_the_lock_taken_sends_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(aftermath, "send_settle_hint", lambda execution_id, _: sent.append(execution_id))
    execution = start(make_template([noop("once")]))
    claim = claim_block(execution.pk, queued_blocks(execution)[0], worker_id()).claim
    assert claim is not None
    with locked_elsewhere(execution.pk):
        follow_up(finish_block(claim, Result(BlockStatus.COMPLETED, output={})), execution.pk)
    assert sent == []
    settle_again(execution.pk, execution.public_id)
    assert statuses(execution) == {"once": "COMPLETED"}


def test_a_claim_made_when_settling_again_whose_answer_was_lost_is_handed_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execution = start(make_template([noop("one"), noop("two", dependencies=["one"])]))
    (row_id,) = queued_blocks(execution)

    def answer_lost(*arguments: Any, **options: Any) -> Any:
        settle_execution(*arguments, **options)
        raise psycopg.OperationalError("the server closed the connection after the commit")

    def finish_without_lock(*arguments: Any, **options: Any) -> Any:
        with locked_elsewhere(execution.pk):
            return finish_block(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(aftermath, "settle_execution", answer_lost)
        patched.setattr(running, "finish_block", finish_without_lock)
        assert running.run_blocks(execution.pk, row_id, "default") == 1
    assert statuses(execution) == {"one": "COMPLETED", "two": "QUEUED"}, "nobody runs it, under a live lease"
    assert run_until_quiet(execution).status == "COMPLETED"
    assert BlockExecution.objects.get(execution=execution, block_id="two").losses == 0

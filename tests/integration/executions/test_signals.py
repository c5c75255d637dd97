"""Signals: kept until somebody waits, one wait each, in order, once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from django.db import connection

from executions_app.errors import ExecutionEnded, SignalRejected, TooManySignals
from executions_app.models import BlockOutput, Execution, Signal
from executions_app.services import signals
from executions_app.services.signals import SentSignal, send_signal
from tests.consistency import assert_consistent
from tests.driver import run_until_quiet
from tests.factories import branch, event_types, make_template, noop, start, statuses
from tests.waiting import assert_waits, go_on, let_time_pass, wait_block, waiting_row
from workflow_service.accounts.idempotency import IdempotencyConflict

pytestmark = pytest.mark.usefixtures("db", "empty_queues")


def signalled(execution: Execution, name: str = "paid", payload: object = None, **options: str) -> SentSignal:
    return send_signal(execution=execution, name=name, payload=payload, **options)  # type: ignore[arg-type]


def outputs(execution: Execution) -> dict[str, object]:
    rows = BlockOutput.objects.filter(execution_id=execution.pk)
    return dict(rows.values_list("block_id", "value"))


def run_with(*blocks: dict[str, object]) -> Execution:
    return run_until_quiet(start(make_template(list(blocks))))


def test_a_signal_ends_the_wait_for_it_and_its_payload_is_the_output() -> None:
    execution = run_with(
        wait_block(signal="paid"), noop("after", {"sum": "${payload.sum}"}, dependencies=["wait"])
    )
    row = waiting_row(execution)
    assert (row.waits_for, row.wait_key, row.due_at) == ("signal", "paid", None)
    sent = signalled(execution, payload={"sum": 7})
    assert sent.delivered
    execution = go_on(execution)
    assert execution.status == "COMPLETED"
    assert outputs(execution)["wait"] == {"signal": "paid", "payload": {"sum": 7}, "timedOut": False}
    assert outputs(execution)["after"] == {"sum": 7}
    assert_consistent(execution)
    types = event_types(execution)
    assert types.index("block_waiting") < types.index("signal_received") < types.index("signal_delivered")


def test_a_signal_that_comes_before_its_wait_is_kept_for_it() -> None:
    execution = start(make_template([noop("first"), wait_block(signal="paid") | {"dependencies": ["first"]}]))
    assert not signalled(execution, payload=[1]).delivered
    execution = run_until_quiet(execution)
    assert execution.status == "COMPLETED"
    assert outputs(execution)["wait"] == {"signal": "paid", "payload": [1], "timedOut": False}
    assert_consistent(execution)


def test_signals_of_one_name_are_taken_in_order_one_by_each_wait() -> None:
    template = make_template(
        [wait_block("one", signal="paid"), wait_block("two", signal="paid") | {"dependencies": ["one"]}]
    )
    execution = start(template)
    for number in (1, 2, 3):
        signalled(execution, payload=number)
    execution = run_until_quiet(execution)
    assert execution.status == "COMPLETED"
    assert [outputs(execution)[block]["payload"] for block in ("one", "two")] == [1, 2]  # type: ignore[index]
    assert Signal.objects.filter(execution=execution, consumed_by=None).count() == 1


def test_a_signal_of_another_name_ends_no_wait() -> None:
    execution = run_with(wait_block(signal="paid"))
    assert not signalled(execution, "shipped").delivered
    assert_waits(execution)


def test_the_same_key_and_body_are_one_signal_with_one_answer() -> None:
    execution = run_with(wait_block("one", signal="paid"), wait_block("two", signal="paid"))
    first = signalled(execution, payload=1, idempotency_key="k", body_sha256="s")
    assert signalled(execution, payload=1, idempotency_key="k", body_sha256="s") == replace(
        first, repeated=True
    )
    assert Signal.objects.filter(execution=execution).count() == 1
    assert sorted(statuses(execution).values()) == ["COMPLETED", "WAITING"]
    with pytest.raises(IdempotencyConflict):
        signalled(execution, payload=2, idempotency_key="k", body_sha256="other")
    signalled(execution, payload=1)
    assert go_on(execution).status == "COMPLETED"
    # The answer to a repeated request does not change with what became of the run.
    assert signalled(execution, payload=1, idempotency_key="k", body_sha256="s") == replace(
        first, repeated=True
    )


def test_a_kept_signal_s_repeated_answer_still_says_kept() -> None:
    execution = start(make_template([wait_block(signal="paid")]))
    first = signalled(execution, idempotency_key="k", body_sha256="s")
    run_until_quiet(execution)
    assert signalled(execution, idempotency_key="k", body_sha256="s") == replace(first, repeated=True)
    assert not first.delivered


def test_signals_sent_at_once_each_end_one_wait() -> None:
    blocks = [wait_block(f"w{number}", signal="paid") for number in range(6)]
    execution = run_with(*blocks)

    def send(number: int) -> bool:
        try:
            return signalled(execution, payload=number).delivered
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(send, range(6)))
    execution = go_on(execution)
    assert execution.status == "COMPLETED"
    assert sorted(output["payload"] for output in outputs(execution).values()) == list(range(6))  # type: ignore[index]
    assert_consistent(execution)


def test_a_signal_that_does_not_come_fails_its_wait() -> None:
    execution = run_with(wait_block(signal="paid", timeout=5_000))
    assert waiting_row(execution).due_at is not None
    execution = let_time_pass(execution)
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert execution.error["type"] == "TIMEOUT_ERROR"
    assert "'paid'" in execution.error["message"]
    assert_consistent(execution)


def test_a_wait_may_go_on_without_its_signal_and_say_so() -> None:
    ways = {"branches": [branch("timedOut == True", "remind"), branch("timedOut == False", "ship")]}
    wait = wait_block(signal="paid", timeout=5_000, onTimeout="continue") | {"conditions": ways}
    execution = let_time_pass(run_with(wait, noop("remind"), noop("ship")))
    assert execution.status == "COMPLETED"
    assert statuses(execution) == {"wait": "COMPLETED", "remind": "COMPLETED", "ship": "SKIPPED"}
    execution = run_with(wait, noop("remind"), noop("ship"))
    signalled(execution)
    assert statuses(go_on(execution)) == {"wait": "COMPLETED", "remind": "SKIPPED", "ship": "COMPLETED"}


def test_the_block_s_own_timeout_bounds_a_wait_that_says_none() -> None:
    execution = run_with(wait_block(signal="paid") | {"timeout": 1_000})
    assert let_time_pass(execution).status == "FAILED"


def test_a_signal_and_the_timeout_compete_and_one_wins() -> None:
    execution = run_with(wait_block(signal="paid", timeout=5_000))
    signalled(execution, payload=1)
    execution = let_time_pass(execution)
    assert execution.status == "COMPLETED"
    assert event_types(execution).count("block_completed") == 1


def test_a_paused_run_takes_signals_and_starts_nothing() -> None:
    execution = run_with(wait_block(signal="paid"), noop("after", dependencies=["wait"]))
    Execution.objects.filter(pk=execution.pk).update(status="PAUSED")
    assert signalled(execution).delivered
    assert statuses(execution) == {"wait": "COMPLETED", "after": "READY"}
    assert Execution.objects.get(pk=execution.pk).status == "PAUSED"


def test_a_run_that_has_ended_takes_no_signal() -> None:
    execution = run_with(noop("once"))
    with pytest.raises(ExecutionEnded):
        signalled(execution)


@pytest.mark.parametrize("name", ["", "1st", "a b", "a/b", "paid\n", "x" * 101, "ünpaid"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(SignalRejected, match="name"):
        signalled(start(make_template([wait_block(signal="paid")])), name)


def test_a_payload_that_cannot_be_kept_is_refused_with_its_place() -> None:
    execution = start(make_template([wait_block(signal="paid")]))
    with pytest.raises(SignalRejected) as refused:
        signalled(execution, payload={"a": ["\x00"]})
    assert refused.value.problems[0].pointer == "/payload/a/0"
    with pytest.raises(SignalRejected, match="bytes"):
        signalled(execution, payload="x" * 300_000)


def test_a_run_keeps_so_many_signals_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "MAX_KEPT", 2)
    execution = start(make_template([wait_block(signal="paid")]))
    signalled(execution, "a")
    signalled(execution, "b")
    with pytest.raises(TooManySignals):
        signalled(execution, "c")
    assert Signal.objects.filter(execution=execution).count() == 2

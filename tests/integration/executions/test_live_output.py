"""What a block says while it runs: written while it runs, once, and only while the block is the worker's."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection

from executions_app import live_output, running
from executions_app.live_output import LiveOutput
from executions_app.models import BlockExecution, Execution, ExecutionLog
from executions_app.parking import take_back, wake_retries
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import make_template, start
from workflow_service.agents.use_cases import RunContext, use_case

pytestmark = pytest.mark.usefixtures("db")

SOON_S = 10.0


class Speaker:
    """The work of the blocks here: says what ``speak`` says, in a thread that a test can watch."""

    speak: Callable[[RunContext], None]


@use_case("tests.speak")
def speak(params: dict[str, Any], run: RunContext) -> dict[str, Any]:
    Speaker.speak(run)
    return {}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_output, "INTERVAL_S", 0.01)


def speaking(**fields: Any) -> Execution:
    block = {"blockId": "talk", "toolType": "USE_CASE", "configuration": {"useCase": "tests.speak"}, **fields}
    return start(make_template([block]))


def messages(execution: Execution) -> list[str]:
    rows = ExecutionLog.objects.filter(execution_id=execution.pk, block_id="talk").order_by("id")
    return list(rows.values_list("message", flat=True))


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; fails if it does not within a while."""
    pause = threading.Event()
    for _ in range(int(SOON_S / 0.01)):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError("it never happened")


@contextmanager
def at_work(execution: Execution) -> Iterator[threading.Event]:
    """Run the execution's block in a thread; the work goes on when the event is set, at the latest at the end."""
    go_on = threading.Event()

    def work() -> None:
        try:
            run_until_quiet(execution)
        finally:
            connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield go_on
    finally:
        go_on.set()
        worker.join(SOON_S)
    assert not worker.is_alive()


def test_lines_and_progress_are_there_while_the_block_runs() -> None:
    execution = speaking()
    with at_work(execution) as go_on:

        def say(run: RunContext) -> None:
            run.log("INFO", "one", row=1)
            run.progress(40, "reading")
            assert go_on.wait(SOON_S)
            run.log("WARNING", "two")

        Speaker.speak = say
        until(lambda: messages(execution) == ["one"])
        until(lambda: BlockExecution.objects.get(execution=execution).progress is not None)
        row = BlockExecution.objects.get(execution=execution)
        assert row.status == "RUNNING"
        assert row.progress is not None
        assert (row.progress["percent"], row.progress["message"]) == (40.0, "reading")
    assert messages(execution) == ["one", "two"]
    lines = ExecutionLog.objects.filter(execution_id=execution.pk, block_id="talk").order_by("id")
    assert [(line.level, line.context) for line in lines] == [(20, {"row": 1}), (30, {})]
    assert Execution.objects.get(pk=execution.pk).status == "COMPLETED"


def test_many_lines_come_once_and_in_order() -> None:
    execution = speaking()

    def say(run: RunContext) -> None:
        pause = threading.Event()
        for number in range(300):
            run.log("INFO", f"line {number}")
            if number % 50 == 0:
                pause.wait(0.02)

    Speaker.speak = say
    run_until_quiet(execution)
    assert messages(execution) == [f"line {number}" for number in range(300)]


def test_a_fast_block_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_output, "INTERVAL_S", 60.0)
    written: list[object] = []
    monkeypatch.setattr(LiveOutput, "_write", written.append)
    execution = speaking()
    Speaker.speak = lambda run: run.log("INFO", "quick")
    before = threading.active_count()
    run_until_quiet(execution)
    assert (messages(execution), written) == (["quick"], [])
    assert threading.active_count() <= before + 1, "only the thread that sends hints may be left"


def test_a_silent_block_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: LiveOutput) -> None:
        raise AssertionError("nothing was said")

    monkeypatch.setattr(LiveOutput, "_write_on", fail)
    Speaker.speak = lambda run: None
    assert run_until_quiet(speaking()).status == "COMPLETED"


def test_who_lost_the_block_writes_nothing_more() -> None:
    execution = speaking()

    def say(run: RunContext) -> None:
        row = BlockExecution.objects.get(execution=execution)
        take_back(execution.pk, [(row.pk, row.fence)])
        run.log("INFO", "from a zombie")
        run.progress(90)
        threading.Event().wait(0.1)

    Speaker.speak = say
    (row_id,) = queued_blocks(execution)
    running.run_blocks(execution.pk, row_id, "default")
    assert messages(execution) == ["The worker of block talk died"]
    assert BlockExecution.objects.get(execution=execution).progress is None


def test_another_try_begins_without_the_progress_of_the_last() -> None:
    execution = speaking(retryPolicy={"maxRetries": 1})
    seen: list[Any] = []

    def say(run: RunContext) -> None:
        seen.append(BlockExecution.objects.get(execution=execution).progress)
        if len(seen) == 1:
            run.progress(70)
            until(lambda: BlockExecution.objects.get(execution=execution).progress is not None)
            raise TimeoutError("once")

    Speaker.speak = say
    run_until_quiet(execution)
    BlockExecution.objects.filter(execution=execution).update(due_at=execution.started_at)
    wake_retries(execution.pk)
    run_until_quiet(execution)
    assert seen == [None, None]


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "lost"])
def test_a_write_whose_answer_is_lost_is_neither_lost_nor_repeated(
    committed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = speaking()
    forget, fallen = LiveOutput._forget, threading.Event()

    def fall_once(self: LiveOutput, count: int) -> None:
        if not fallen.is_set():
            fallen.set()
            if not committed:
                ExecutionLog.objects.filter(execution_id=execution.pk, block_id="talk").delete()
            raise OperationalError("the server closed the connection unexpectedly")
        forget(self, count)

    monkeypatch.setattr(LiveOutput, "_forget", fall_once)

    def say(run: RunContext) -> None:
        run.log("INFO", "one")
        assert fallen.wait(SOON_S)
        run.log("INFO", "two")

    Speaker.speak = say
    run_until_quiet(execution)
    assert messages(execution) == ["one", "two"]

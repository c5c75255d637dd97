"""Bars over time: where each begins, how wide it is, and that odd clocks do not break the picture."""

from datetime import UTC, datetime, timedelta

from executions_app.gantt import gantt_of
from executions_app.timeline import BlockLine
from workflow_service.engine.states import BlockStatus

BEGIN = datetime(2026, 11, 22, 12, tzinfo=UTC)


def line(queued: float | None, started: float | None, finished: float | None) -> BlockLine:
    def at(seconds: float | None) -> datetime | None:
        return None if seconds is None else BEGIN + timedelta(seconds=seconds)

    return BlockLine(
        "a", "a", "NOOP", BlockStatus.RUNNING,
        queued_at=at(queued), started_at=at(started), finished_at=at(finished),
    )  # fmt: skip


def test_bars_are_shares_of_the_run() -> None:
    gantt = gantt_of(
        [line(0, 2, 6), line(6, 7, None), line(1, None, None)], BEGIN, BEGIN + timedelta(seconds=10)
    )
    assert [(bar.queued, bar.queued_width, bar.start, bar.width) for bar in gantt.bars] == [
        (0, 20, 20, 40),
        (60, 10, 70, 30),
    ]
    assert gantt.bars[1].took == timedelta(seconds=3)
    assert [share for share, _ in gantt.ticks] == [0, 25, 50, 75, 100]
    assert gantt.ticks[-1][1] == timedelta(seconds=10)


def test_a_clock_that_runs_ahead_stays_inside() -> None:
    gantt = gantt_of([line(-5, -1, 20)], BEGIN, BEGIN + timedelta(seconds=10))
    assert (gantt.bars[0].start, gantt.bars[0].width) == (0, 100)


def test_a_run_without_time_has_an_axis() -> None:
    gantt = gantt_of([line(0, 0, 0)], BEGIN, BEGIN)
    assert gantt.bars[0].width == 0
    assert len(gantt.ticks) == 5

"""A run's blocks as bars over time: positions in percent, so that a page can draw them at any width."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from executions_app.timeline import BlockLine, Span

TICKS = 4


@dataclass(frozen=True, slots=True)
class EarlierBar:
    """A round before the last; percentages."""

    status: str
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One block's line: in the queue from ``queued`` on, at work for ``width`` from ``start``; percentages."""

    line: BlockLine
    queued: float
    queued_width: float
    start: float
    width: float
    took: timedelta
    earlier: Sequence[EarlierBar] = ()


@dataclass(frozen=True, slots=True)
class Gantt:
    """The bars of a run and the marks of its time axis."""

    bars: Sequence[Bar]
    ticks: Sequence[tuple[float, timedelta]]


def gantt_of(
    lines: Iterable[BlockLine],
    begin: datetime,
    end: datetime,
    earlier: Mapping[str, Sequence[Span]] | None = None,
) -> Gantt:
    """Return the bars of the blocks that were at work between ``begin`` and ``end``.

    ``earlier`` are the rounds before the last, by block id.
    """
    span = max(end - begin, timedelta(milliseconds=1))

    def share(moment: datetime) -> float:
        return round(min(max((moment - begin) / span, 0.0), 1.0) * 100, 2)

    bars = []
    for line in lines:
        if line.started_at is None:
            continue
        finished = line.finished_at or end
        queued, start = share(line.queued_at or line.started_at), share(line.started_at)
        width = max(share(finished) - start, 0.0)
        took = max(finished - line.started_at, timedelta(0))
        before = [
            EarlierBar(span.status, share(span.started_at), _width(share, span, end))
            for span in (earlier or {}).get(line.block_id, ())
        ]
        bars.append(
            Bar(line, queued, round(max(start - queued, 0.0), 2), start, round(width, 2), took, before)
        )
    ticks = [(100 * number / TICKS, span * number / TICKS) for number in range(TICKS + 1)]
    return Gantt(bars, ticks)


def _width(share: Callable[[datetime], float], span: Span, end: datetime) -> float:
    return round(max(share(span.finished_at or end) - share(span.started_at), 0.0), 2)

"""The log of a run as its page shows it: searched, filtered by level and block, the newest lines first.

What is asked for stands in the page's address, so that it can be sent on, works without JavaScript, and holds when the
page brings itself up to date.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.http import urlencode

from executions_app.models import Execution, ExecutionLog
from executions_app.selectors import list_logs

LINES_SHOWN = 100
MAX_SEARCH = 200
LEVELS = tuple(level.name for level in ExecutionLog.Level)


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What is looked for; ``before`` is the line that a page goes on from, 0 for the newest."""

    search: str = ""
    level: str = ""
    block_id: str = ""
    before: int = 0

    @property
    def narrows(self) -> bool:
        return bool(self.search or self.level or self.block_id)

    def query(self, before: int = 0) -> str:
        """Return the address's query for these lines, or for those before a line; ``""`` for all of them."""
        given = {"log": self.search, "level": self.level, "block": self.block_id, "before": before or ""}
        return urlencode({name: value for name, value in given.items() if value})


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page of lines, newest first. ``older`` and ``newest`` are queries, empty where there is nothing there."""

    asked: LogFilter
    lines: Sequence[ExecutionLog]
    last_id: int
    older: str = ""
    newest: str = ""


def read_log_filter(query: Mapping[str, str]) -> LogFilter:
    """Return what an address asks for; what makes no sense in it is left out."""

    def text(name: str, most: int) -> str:
        return query.get(name, "").replace("\x00", "").strip()[:most]

    level, before = text("level", 10).upper(), text("before", 18)
    return LogFilter(
        search=text("log", MAX_SEARCH),
        level=level if level in LEVELS else "",
        block_id=text("block", 100),
        before=int(before) if before.isascii() and before.isdigit() else 0,
    )


def log_page(execution: Execution, asked: LogFilter) -> LogPage:
    """Return the lines of a run that fit: two queries."""
    found = list_logs(
        execution,
        min_level=ExecutionLog.Level[asked.level] if asked.level else None,
        block_id=asked.block_id or None,
        search=asked.search or None,
        newest_first=True,
    )
    if asked.before:
        found = found.filter(pk__lt=asked.before)
    lines = list(found[: LINES_SHOWN + 1])
    shown = lines[:LINES_SHOWN]
    newest = ExecutionLog.objects.filter(execution_id=execution.pk).order_by("-pk")
    return LogPage(
        asked,
        shown,
        last_id=newest.values_list("pk", flat=True).first() or 0,
        older=asked.query(before=shown[-1].pk) if len(lines) > LINES_SHOWN else "",
        newest=(asked.query() or "all") if asked.before else "",
    )

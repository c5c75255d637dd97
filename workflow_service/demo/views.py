"""How a run looks in a terminal: a table that changes while it goes on, or plain lines where nobody watches."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from workflow_service.demo.client import Json
from workflow_service.demo.follow import View

# What each block of the sales pipeline says of how many rows it worked on.
ROWS_OF_BLOCK: Mapping[str, str] = {
    "extract": "recordCount",
    "profile": "profiledRows",
    "validate": "validRows",
    "deduplicate": "comparedRows",
    "assess": "goodRows",
    "transform": "transformedRows",
    "load": "loadedRows",
}
STYLE_OF_STATUS: Mapping[str, str] = {
    "COMPLETED": "green",
    "WAITING_FOR_APPROVAL": "bold yellow",
    "RUNNING": "bold cyan",
    "WAITING": "bold yellow",
    "FAILED": "bold red",
    "REJECTED": "red",
    "SKIPPED": "dim",
    "RETRYING": "yellow",
}
COLUMNS = ("Block", "Status", "Agent", "Process", "Time", "Rows")


class PlainView:
    """One line for each event, the seconds since the run began first."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun: datetime | None = None

    def show_event(self, event: Json) -> None:
        """Print the event."""
        at = datetime.fromisoformat(event["timestamp"])
        self._begun = self._begun or at
        block = f"{event['blockId']}: " if event["blockId"] else ""
        what = event["type"].removeprefix("block_").replace("_", " ")
        line = f"{(at - self._begun).total_seconds():7.2f} s  {block}{what}{describe_data(event['data'])}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show_execution(self, execution: Json) -> None:
        """Print nothing: the events say it all."""


class LiveView:
    """A table of blocks with a bar above it, drawn anew as the run goes on."""

    def __init__(self, live: Live, template: Json) -> None:
        self._live = live
        self._template = template

    def show_event(self, event: Json) -> None:
        """Show nothing: the table says it all."""

    def show_execution(self, execution: Json) -> None:
        """Draw the table anew."""
        if "blockExecutions" not in execution:
            return
        head = Table.grid(padding=(0, 2))
        head.add_row(
            ProgressBar(total=100, completed=execution["progress"]["percentage"], width=60),
            Text(execution["status"], STYLE_OF_STATUS.get(execution["status"], "")),
        )
        self._live.update(Group(head, block_table(execution, self._template)))


@contextmanager
def open_view(console: Console, template: Json) -> Iterator[View]:
    """Yield the view that fits the console."""
    if not console.is_terminal:
        yield PlainView(console)
        return
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        yield LiveView(live, template)


def block_table(execution: Json, template: Json) -> Table:
    """Return the run's blocks in the template's order: who did each, how long it took, on how many rows."""
    table = Table(*COLUMNS[:4], box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS[4:]:
        table.add_column(column, justify="right")
    last = {block["blockId"]: block for block in execution["blockExecutions"]}
    for block in template["blocks"]:
        run = last.get(block["blockId"], {"status": "PENDING"})
        output = run.get("output")
        table.add_row(
            block["blockId"],
            Text(run["status"], STYLE_OF_STATUS.get(run["status"], "")),
            run.get("agentId") or f"local {block.get('toolType', '')}",
            str(work_of(output).get("processId", "")),
            "" if run.get("duration") is None else f"{run['duration'] / 1_000:.2f} s",
            rows_of(block["blockId"], output),
        )
    return table


def rows_of(block_id: str, output: Any) -> str:
    """Return how many rows a block says it worked on, or nothing."""
    rows = output.get(ROWS_OF_BLOCK.get(block_id, "")) if isinstance(output, dict) else None
    return "" if rows is None else f"{rows:,}"


def work_of(output: Any) -> Mapping[str, Any]:
    """Return what a block measured of its own work: when it began and ended, and in which process."""
    if not isinstance(output, dict):
        return {}
    return next((value for key, value in output.items() if key.endswith("Work")), {})


def describe_data(data: Mapping[str, Any]) -> str:
    """Return the part of an event's data that a person wants to read."""
    error = data.get("error")
    if isinstance(error, dict):
        return f" - {error.get('type')}: {error.get('message')}"
    if data.get("blocks"):
        return f": {', '.join(data['blocks'])}"
    return f" - {data['message']}" if data.get("message") else ""

"""``/ws/executions/{id}``: everything that happened in a run after ``?after=SEQ``, then what happens.

With ``?after_log=N`` (0 for all) also the log lines after line N, and how far running blocks say they are. Events
and lines each come in their own order, and a client that gives its last numbers of both misses none.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from executions_app.models import BlockExecution, Execution, ExecutionEvent, ExecutionLog
from executions_app.selectors import (
    event_message,
    events_after,
    log_message,
    logs_after,
    progress_message,
    reporting_blocks,
)
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action, allows
from workflow_service.accounts.selectors import list_workspaces
from workflow_service.engine.definition import JsonObject
from workflow_service.live import FORBIDDEN, NOT_FOUND, FollowingConsumer, Positioned, Refused

# A line waits for transactions that are older than its own; they take milliseconds.
LOOK_AGAIN_S = 0.02


@dataclass(frozen=True, slots=True)
class Place:
    """What a client has: events up to ``seq``, log lines up to ``log`` (None: it wants none), reports by block row."""

    seq: int
    log: int | None = None
    reported: Mapping[int, JsonObject] = field(default_factory=dict)


class ExecutionConsumer(FollowingConsumer):
    """Sends the events of one execution to a member of its workspace, numbered by ``seq``."""

    def admit(self, user: User) -> Sequence[str]:
        """Return the group of the execution; a foreign one is refused like an unknown one."""
        found = Execution.objects.filter(public_id=self.public_id, workspace__in=list_workspaces(user))
        execution = found.select_related("workspace").first()
        if execution is None:
            raise Refused(NOT_FOUND)
        if not allows(user, execution.workspace, Action.EXECUTION_READ):
            raise Refused(FORBIDDEN)
        self.execution = execution
        return [f"execution.{self.public_id}"]

    def start(self) -> Place:
        """Return where the client wants to begin; raises ``Refused``."""
        return Place(self.number("after"), self.number("after_log") if "after_log" in self.query else None)

    def read(self, user: User, after: Place, limit: int) -> Sequence[Positioned]:
        """Return the run's events, and where asked for its log lines and reports, after ``after``."""
        return list(self._read(after, limit))

    def _read(self, place: Place, limit: int) -> Iterator[Positioned]:
        for seq, message in self.event_messages(events_after(self.execution, place.seq, limit)):
            place = replace(place, seq=seq)
            yield place, message
        if place.log is None:
            return
        lines, more = logs_after(self.execution, place.log, limit)
        self.look_again_s = LOOK_AGAIN_S if more else None
        for line in lines:
            place = replace(place, log=line.pk)
            yield place, self.line_message(line)
        for block in self.reporting_blocks():
            if block.progress and block.progress != place.reported.get(block.pk):
                place = replace(place, reported={**place.reported, block.pk: block.progress})
                yield place, progress_message(block, self.public_id)

    def event_messages(self, events: Sequence[ExecutionEvent]) -> Iterator[tuple[int, JsonObject]]:
        """Yield what is sent of a page of events, each with the number of the last event that is told with it."""
        for event in events:
            yield event.seq, event_message(event, self.public_id)

    def line_message(self, line: ExecutionLog) -> JsonObject:
        """Return what is sent of a log line."""
        return log_message(line, self.public_id)

    def reporting_blocks(self) -> Sequence[BlockExecution]:
        """Return the blocks whose progress is told."""
        return reporting_blocks(self.execution)

    @property
    def public_id(self) -> str:
        return str(self.scope["url_route"]["kwargs"]["execution_id"])

"""``/ws/executions/{id}`` in the words of the document through whose door a run was started, or of ``?view=a|b``."""

from collections.abc import Iterator, Sequence

from executions_app.consumers import ExecutionConsumer, Place
from executions_app.models import BlockExecution, ExecutionEvent, ExecutionLog
from templates_app.models import Template
from workflow_service.engine.definition import JsonObject
from workflow_service.live import BAD_REQUEST, Refused
from workflow_service.workflows_api.live_messages import line_message, messages_of

VIEWS = (Template.Door.A.value, Template.Door.B.value)


class WorkflowExecutionConsumer(ExecutionConsumer):
    """Sends the events of one execution as document A's stream has them, or in document B's six messages."""

    def start(self) -> Place:
        """Return where the client wants to begin; raises ``Refused``, for a view that there is not too."""
        if self.query.get("view", ["a"])[-1] not in VIEWS:
            raise Refused(BAD_REQUEST)
        return super().start()

    @property
    def speaks_b(self) -> bool:
        """Whether the messages are document B's."""
        return bool(self.query.get("view", [self.execution.door])[-1] == Template.Door.B)

    def event_messages(self, events: Sequence[ExecutionEvent]) -> Iterator[tuple[int, JsonObject]]:
        """Yield what is sent of a page of events, each with the number of the last event that is told with it."""
        yield from messages_of(self.execution, events) if self.speaks_b else super().event_messages(events)

    def line_message(self, line: ExecutionLog) -> JsonObject:
        """Return what is sent of a log line."""
        return line_message(line, self.public_id) if self.speaks_b else super().line_message(line)

    def reporting_blocks(self) -> Sequence[BlockExecution]:
        """Return the blocks whose progress is told: document B has no message for it."""
        return () if self.speaks_b else super().reporting_blocks()

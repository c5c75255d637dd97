"""A run's events as the six messages of document B section 7.2.

Every event is told as a ``log``, an entry of the audit log that carries the event's number as ``seq``; before it comes
what the event means besides: ``state_change``, ``ai_decision``, ``recovery_action``, ``execution_error`` or
``execution_complete``. A client that gives the ``seq`` of its last ``log`` misses none.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from pydantic import JsonValue

from executions_app.history import Transition, audit_entries, transitions_into
from executions_app.models import BlockExecution, ContextValue, Execution, ExecutionEvent, ExecutionLog
from executions_app.selectors import timestamp
from workflow_service.engine.definition import END, JsonObject

# A context that is larger is not sent with every state change.
MAX_CONTEXT_BYTES = 64 * 1024
# A state is entered where its row says one of these for the first time.
_ENTERED = ("block_started", "block_waiting", "approval_requested")


def messages_of(execution: Execution, events: Sequence[ExecutionEvent]) -> Iterator[tuple[int, JsonObject]]:
    """Yield the messages of a page of events in order, each with the number of the last event told with it."""
    page = _Page(execution, events)
    for event, entry in zip(events, audit_entries(events), strict=True):
        for message in page.meanings_of(event):
            # A client that loses the line now is told the event again, whole.
            yield event.seq - 1, message
        logged = {**entry, "timestamp": timestamp(entry["timestamp"])}
        yield event.seq, page.message("log", event) | {"seq": event.seq, "log": logged}


def line_message(line: ExecutionLog, execution_id: str) -> JsonObject:
    """Return a log line as a ``log``; ``cursor`` is what to give as ``after_log`` to go on behind it."""
    return {
        "type": "log",
        "execution_id": execution_id,
        "timestamp": timestamp(line.created_at),
        "cursor": line.pk,
        "log": {
            "id": line.pk,
            "timestamp": timestamp(line.created_at),
            "level": ExecutionLog.Level(line.level).name.lower(),
            "state": line.block_id or None,
            "event_type": "log_line",
            "message": line.message,
            "metadata": line.context,
            "stack_trace": line.stack_trace or None,
        },
    }


@dataclass(frozen=True, slots=True)
class _Entry:
    """The moment when a row of a state was entered, and when the row of that state before it was."""

    at: datetime
    before: datetime | None


class _Page:
    """A page of events of one run, and what is read once to say what they mean."""

    def __init__(self, execution: Execution, events: Sequence[ExecutionEvent]) -> None:
        self._execution = execution
        self._events = events

    def message(self, type: str, event: ExecutionEvent) -> JsonObject:
        """Return what all messages have."""
        return {
            "type": type,
            "execution_id": self._execution.public_id,
            "timestamp": timestamp(event.created_at),
        }

    def meanings_of(self, event: ExecutionEvent) -> Iterator[JsonObject]:
        """Yield what an event means besides being one."""
        data = event.data
        match event.type:
            case "block_started" | "block_waiting" | "approval_requested":
                yield from self._entered(event)
            case "ai_decision":
                told = {
                    name: data.get(name)
                    for name in ("state", "decision", "reasoning", "confidence", "source")
                }
                yield self.message("ai_decision", event) | told
            case "recovery_action":
                yield self.message("recovery_action", event) | _recovery(event)
            case "block_failed":
                yield self._error(event, ended=False)
            case "execution_failed":
                yield self._error(event, ended=True)
            case "execution_completed":
                for way in self._ways.get(END, ()):
                    yield self._change(event, way)
                yield self._complete(event, "completed")
            case "execution_cancelled":
                yield self._complete(event, "cancelled")

    def _entered(self, event: ExecutionEvent) -> Iterator[JsonObject]:
        entry = self._entries.get(event.seq)
        if entry is None:
            return
        ways = [way for way in self._ways.get(event.block_id, ()) if way.at <= entry.at]
        fresh = [way for way in ways if entry.before is None or way.at > entry.before]
        # What a restart does again was led to before.
        for way in fresh or ways[-1:]:
            yield self._change(event, way)

    def _change(self, event: ExecutionEvent, way: Transition) -> JsonObject:
        return self.message("state_change", event) | {
            "from_state": way.from_state,
            "to_state": way.to_state,
            "transition_type": way.type.value,
            "context": self._contexts.at(event.seq, max_bytes=MAX_CONTEXT_BYTES),
        }

    def _complete(self, event: ExecutionEvent, status: str) -> JsonObject:
        return self.message("execution_complete", event) | {
            "status": status,
            "final_context": self._contexts.at(event.seq, max_bytes=None),
            "duration_ms": event.data.get("durationMs"),
        }

    def _error(self, event: ExecutionEvent, *, ended: bool) -> JsonObject:
        error = event.data.get("error") or {}
        return self.message("execution_error", event) | {
            "state": event.block_id or error.get("blockId"),
            "error": error,
            "ended": ended,
        }

    @cached_property
    def _entries(self) -> Mapping[int, _Entry]:
        """The first entering of each row that the page tells of, by the number of its event."""
        states = {event.block_id for event in self._events if event.type in _ENTERED}
        rows = BlockExecution.objects.filter(
            execution=self._execution, block_id__in=states, kind=BlockExecution.Kind.BLOCK
        )
        told = ExecutionEvent.objects.filter(
            execution_id=self._execution.pk,
            type__in=_ENTERED,
            block_execution_id__in=rows.values("pk"),
            seq__lte=self._events[-1].seq,
        )
        found: dict[int, _Entry] = {}
        last: dict[str, datetime] = {}
        seen: set[int | None] = set()
        for seq, state, row, at in told.order_by("seq").values_list(
            "seq", "block_id", "block_execution_id", "created_at"
        ):
            if row not in seen:
                seen.add(row)
                found[seq] = _Entry(at, last.get(state))
                last[state] = at
        return found

    @cached_property
    def _ways(self) -> Mapping[str, Sequence[Transition]]:
        """The transitions into the states that the page tells of, by state."""
        states = {event.block_id for event in self._events if event.seq in self._entries}
        if any(event.type == "execution_completed" for event in self._events):
            # The row was read when the socket was opened.
            self._execution.refresh_from_db(fields=["status"])
            states.add(END)
        ways: dict[str, list[Transition]] = defaultdict(list)
        for way in transitions_into(self._execution, states) if states else ():
            ways[way.to_state].append(way)
        return ways

    @cached_property
    def _contexts(self) -> "_Contexts":
        return _Contexts(self._execution)


class _Contexts:
    """The run's context as it was at its events; of values that a restart took back nothing is known any more."""

    def __init__(self, execution: Execution) -> None:
        values = ContextValue.objects.filter(execution_id=execution.pk, superseded=False).order_by("seq")
        self._values = list(values.values_list("key", "value", "block_execution_id"))
        writers = {writer for _, _, writer in self._values}
        completed = ExecutionEvent.objects.filter(
            execution_id=execution.pk, type="block_completed", block_execution_id__in=writers
        )
        self._written = dict(completed.values_list("block_execution_id", "seq"))
        self._given: Mapping[str, JsonValue] = execution.given.input

    def at(self, seq: int, *, max_bytes: int | None) -> JsonObject | None:
        """Return the input and what blocks had given by event ``seq``; None where that is more than ``max_bytes``."""
        context, known_from = dict(self._given), 0
        size = 0 if max_bytes is None else len(json.dumps(context))
        for key, value, writer in self._values:
            # They are numbered as they were settled: what no block wrote came with what was written before it.
            known_from = max(known_from, self._written.get(writer, 0))
            if known_from > seq:
                break
            context[key] = value
            size += 0 if max_bytes is None else len(json.dumps(value))
        return context if max_bytes is None or size <= max_bytes else None


def _recovery(event: ExecutionEvent) -> JsonObject:
    """Return what a step up the recovery ladder is about; the first steps are retries."""
    data = event.data
    error = data.get("error") or {}
    strategy = data.get("strategy")
    delay_ms = data.get("delayMs")
    reason = data.get("reason") or ""
    again = f"{reason}; trying again after {delay_ms / 1_000:g} seconds" if delay_ms else reason
    return {
        "state": event.block_id,
        "error": error.get("type"),
        "action": strategy,
        "strategy": strategy,
        "reasoning": data.get("reasoning") or again,
        "suggested_by": data.get("suggestedBy", "rules"),
    }

"""What is written down about an execution, over HTTP: its log (document A section 5.2), its events, and its
history (document B section 7.1)."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions_app.api.history_serializers import (
    EventList,
    EventQuery,
    HistoryQuery,
    HistoryShape,
    LogList,
    LogQuery,
)
from executions_app.api.requests import readable_execution, wait_until
from executions_app.history import audit_entries, transition_document, transitions_of
from executions_app.models import Execution, ExecutionEvent
from executions_app.selectors import event_message, events_after, list_logs, log_document
from workflow_service.api_serializers import page_of, read_query
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES

TAGS = ["executions"]


class LogsView(APIView):
    """The log of an execution."""

    @extend_schema(
        summary="Read the log of an execution", tags=TAGS, parameters=[LogQuery], responses=LogList
    )
    def get(self, request: Request, execution_id: str) -> Response:
        """List log lines in the order they were written, those of running blocks within half a second."""
        query = read_query(LogQuery, request)
        execution = readable_execution(request, execution_id)
        rows = list_logs(
            execution,
            min_level=query.get("level"),
            block_id=query.get("block_id"),
            search=query.get("search"),
            since=query.get("since"),
            until=query.get("until"),
            newest_first=query["order"] == "desc",
        )
        page = page_of(
            "logs", rows, query, lambda some: [log_document(line, execution.public_id) for line in some]
        )
        return Response(page | {"hasMore": page["offset"] + len(page["logs"]) < page["total"]})


class EventsView(APIView):
    """The events of an execution."""

    @extend_schema(
        summary="Read the events of an execution", tags=TAGS, parameters=[EventQuery], responses=EventList
    )
    def get(self, request: Request, execution_id: str) -> Response:
        """List what happened after the event you have; the same that the WebSocket sends.

        Events are numbered without gaps. `next` is where to go on: with `types` it passes over events that do not
        fit. `wait` holds an empty answer back until there is something to tell, 30 s at most.
        """
        query = read_query(EventQuery, request)
        execution = readable_execution(request, execution_id)
        found: list[ExecutionEvent] = []
        position = query["after"]

        def anything_to_tell() -> bool:
            nonlocal found, position
            execution.refresh_from_db(fields=["status", "event_seq"])
            if position < execution.event_seq:
                found = events_after(execution, position, query["limit"], query.get("types", ()))
                # The row was read before the events were: they reach it, and perhaps beyond.
                full = len(found) == query["limit"]
                position = found[-1].seq if full else max([execution.event_seq, *(e.seq for e in found)])
            return bool(found) or execution.status in ENDED_EXECUTION_STATUSES

        wait_until(anything_to_tell, query["wait"])
        return Response(
            {
                "events": [event_message(event, execution.public_id) for event in found],
                "lastSeq": max([execution.event_seq, *(event.seq for event in found)]),
                "next": position,
            }
        )


class HistoryView(APIView):
    """The history of an execution in document B's shape."""

    @extend_schema(
        summary="Read the history of an execution",
        tags=TAGS,
        parameters=[HistoryQuery],
        responses=HistoryShape,
    )
    def get(self, request: Request, execution_id: str) -> Response:
        """Give the transitions between states in order, what they were taken by, and the run's events as an
        audit log."""
        query = read_query(HistoryQuery, request)
        execution = readable_execution(request, execution_id)
        return Response(HistoryShape(_history(execution, query["limit"], query["offset"])).data)


def _history(execution: Execution, limit: int, offset: int) -> dict[str, Any]:
    transitions = transitions_of(execution)
    shown = enumerate(transitions[offset : offset + limit], start=offset + 1)
    events = ExecutionEvent.objects.filter(execution_id=execution.pk).order_by("seq")
    return {
        "execution_id": execution.public_id,
        "transitions": [transition_document(number, transition) for number, transition in shown],
        "total_transitions": len(transitions),
        "audit_logs": list(audit_entries(events[offset : offset + limit])),
        "total_audit_logs": execution.event_seq,
    }

"""Events added to runs outside of a step: by those who learn from ended runs, and those who watch running ones.

The caller's transaction holds the locks of the runs, so the numbers stay gapless; replaying passes over what it does
not know. The end of a run need not be its last event.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction
from pydantic import JsonValue

from executions_app.dispatch import tell_execution

APPEND = """
    WITH late AS (
        SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::jsonb[], %s::timestamptz[])
            AS l(execution_id, type, block_id, data, created_at)
    ), numbered AS (
        UPDATE executions_app_execution e SET event_seq = e.event_seq + 1 FROM late l WHERE e.id = l.execution_id
        RETURNING e.id, e.public_id, e.event_seq, l.type, l.block_id, l.data, l.created_at
    ), written AS (
        INSERT INTO executions_app_executionevent (execution_id, seq, type, block_id, data, created_at)
        SELECT id, event_seq, type, block_id, data, created_at FROM numbered)
    SELECT public_id, event_seq FROM numbered
"""


@dataclass(frozen=True, slots=True)
class LateEvent:
    """One event for a run; ``block_id`` is empty where it is about none."""

    execution_id: int
    type: str
    data: Mapping[str, JsonValue]
    created_at: datetime
    block_id: str = ""


def append_events(events: Sequence[LateEvent]) -> None:
    """Append an event to each of several runs, whose rows are locked; listeners are told after the commit.

    Raises ``ValueError`` for two events of one run: the statement numbers one.
    """
    if len({event.execution_id for event in events}) < len(events):
        raise ValueError("one event for each run")
    columns = [(e.execution_id, e.type, e.block_id, json.dumps(e.data), e.created_at) for e in events]
    with connection.cursor() as cursor:
        cursor.execute(APPEND, [list(column) for column in zip(*columns, strict=True)] or [[]] * 5)
        numbered = cursor.fetchall()

    def tell() -> None:
        for public_id, seq in numbered:
            tell_execution(public_id, seq)

    transaction.on_commit(tell)

"""Mirrors every change of runs and blocks to the State Management Service, where one is configured.

Runs never wait for it and write nothing for it. A tick of the sweeper looks for runs with events beyond their cursor,
makes messages of those and moves the cursor, in one transaction; the outbox sends them in order, again and again until
they have arrived. Postgres stays the truth: a mirror that was away for a while is told everything that it missed.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from urllib.parse import quote

from django.db import connection, transaction

from executions_app.mirror_messages import mirror_message
from executions_app.models import Execution, ExecutionEvent, MirrorCursor
from workflow_service.outbox.delivery import Envelope, Sent, deliver, enqueue
from workflow_service.outbox.http import post
from workflow_service.settings.config import get_config

logger = logging.getLogger(__name__)

CHANNEL = "state-service"
RUNS_PER_TICK = 200
EVENTS_PER_MESSAGE = 100
MESSAGES_PER_RUN = 10
LOOK_BACK_EVERY_S = 60
THREADS = 2

# A run's id is given out before its transaction commits, so the newest ones are looked for again for a while.
SETTLED_AGE = "interval '10 minutes'"
BEGIN = """
    INSERT INTO executions_app_mirrorstate (id, known_up_to)
    SELECT 1, coalesce(max(id), 0) FROM executions_app_execution ON CONFLICT DO NOTHING RETURNING id
"""
ADOPT_ACTIVE = """
    INSERT INTO executions_app_mirrorcursor (execution_id, seq, open)
    SELECT id, 0, true FROM executions_app_execution WHERE status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')
    ON CONFLICT DO NOTHING
"""
ADOPT_NEW = """
    INSERT INTO executions_app_mirrorcursor (execution_id, seq, open)
    SELECT e.id, 0, true FROM executions_app_execution e
    WHERE e.id > (SELECT known_up_to FROM executions_app_mirrorstate WHERE id = 1)
        AND NOT EXISTS (SELECT FROM executions_app_mirrorcursor c WHERE c.execution_id = e.id)
    ON CONFLICT DO NOTHING
"""
ADVANCE = f"""
    UPDATE executions_app_mirrorstate SET known_up_to = greatest(known_up_to, (
        SELECT coalesce(max(id), 0) FROM executions_app_execution e
        WHERE e.id > known_up_to AND e.started_at < clock_timestamp() - {SETTLED_AGE})) WHERE id = 1
"""  # noqa: S608
# A restart opens an ended run again, and some things are noted after a run's end.
LOOK_BACK = """
    UPDATE executions_app_mirrorcursor c SET open = true FROM executions_app_execution e
    WHERE e.id = c.execution_id AND NOT c.open AND e.event_seq > c.seq
        AND (e.completed_at IS NULL OR e.completed_at > clock_timestamp() - interval '1 day')
"""
LOOK_BACK_DUE = """
    UPDATE executions_app_mirrorstate SET looked_back_at = clock_timestamp()
    WHERE id = 1 AND (looked_back_at IS NULL
        OR looked_back_at <= clock_timestamp() - make_interval(secs => %s)) RETURNING id
"""
WITH_NEWS = """
    SELECT c.execution_id FROM executions_app_mirrorcursor c
    JOIN executions_app_execution e ON e.id = c.execution_id
    WHERE c.open AND e.event_seq > c.seq ORDER BY c.execution_id LIMIT %s
"""
CLOSE_ENDED = """
    UPDATE executions_app_mirrorcursor c SET open = false FROM executions_app_execution e
    WHERE c.open AND e.id = c.execution_id AND e.event_seq = c.seq
        AND e.status IN ('COMPLETED', 'FAILED', 'CANCELLED')
        AND e.completed_at < clock_timestamp() - interval '1 minute'
"""


def mirror_states(begin: Callable[[Callable[[], object]], object] | None = None) -> None:
    """Make messages of what happened since the last tick, and have them sent; nothing where no service is configured.

    ``begin`` starts the sending, which takes long: not given, on a few threads beside the tick.
    """
    if get_config().state_service_url is None:
        return
    adopt_runs()
    collect_changes()
    (begin or _beside)(send_messages)


def adopt_runs() -> None:
    """Give a cursor to every run that has none: of those there were before the mirror, to the ones under way."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(BEGIN)
        if cursor.fetchone() is not None:
            cursor.execute(ADOPT_ACTIVE)
        cursor.execute(ADOPT_NEW)
        cursor.execute(ADVANCE)
        cursor.execute(LOOK_BACK_DUE, [LOOK_BACK_EVERY_S])
        if cursor.fetchone() is not None:
            cursor.execute(LOOK_BACK)
            cursor.execute(CLOSE_ENDED)


def collect_changes() -> int:
    """Make messages of events beyond their runs' cursors; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(WITH_NEWS, [RUNS_PER_TICK])
        waiting = [row[0] for row in cursor.fetchall()]
    return sum(_collect(execution_id) for execution_id in waiting)


def _collect(execution_id: int) -> int:
    """Make the messages of one run and move its cursor, in one transaction; another sweeper's run is left to it."""
    made = 0
    with transaction.atomic():
        cursor = (
            MirrorCursor.objects.select_for_update(skip_locked=True).filter(execution_id=execution_id).first()
        )
        if cursor is None:
            return 0
        run = Execution.objects.select_related("template", "version", "workspace", "created_by").get(
            pk=execution_id
        )
        after = ExecutionEvent.objects.filter(execution_id=execution_id, seq__gt=cursor.seq)
        events = list(after.order_by("seq")[: EVENTS_PER_MESSAGE * MESSAGES_PER_RUN])
        for first in range(0, len(events), EVENTS_PER_MESSAGE):
            part = events[first : first + EVENTS_PER_MESSAGE]
            enqueue(CHANNEL, run.public_id, mirror_message(run, part))
            made += 1
        if events:
            cursor.seq = events[-1].seq
            cursor.save(update_fields=["seq"])
    return made


def send_messages() -> int:
    """Send what is due; returns how many messages arrived."""
    return deliver(CHANNEL, send_to_service, timeout_s=_timeout_s())


def send_to_service(envelope: Envelope) -> Sent:
    """POST one message to the service; the same message has the same ``Idempotency-Key`` whenever it is sent."""
    url = get_config().state_service_url or ""
    place = f"{url.rstrip('/')}/executions/{quote(envelope.subject, safe='')}/changes"
    return post(place, envelope, headers=credentials(), timeout_s=_timeout_s())


def credentials() -> dict[str, str]:
    """Return the header that lets us in, if a token is configured."""
    token = get_config().state_service_token
    return {"authorization": f"Bearer {token.get_secret_value()}"} if token else {}


def _timeout_s() -> float:
    return get_config().state_service_timeout_ms / 1_000


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="state-mirror")


_sending: list[object] = []


def _beside(work: Callable[[], object]) -> None:
    """Have ``work`` done on a thread of its own, unless all threads are at it still."""
    if len(_sending) >= THREADS:
        return
    _sending.append(work)
    _pool().submit(_run, work)


def _run(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception:
        logger.exception("the state mirror could not send; it tries again with the next tick")
    finally:
        _sending.pop()
        connection.close()

"""Sends what is due on one channel: leases, order per subject, backoff, and messages given up.

Every change of a message asks for the lease it was given, so that whoever was too slow changes nothing. Nothing is sent
inside a transaction.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID, uuid4

from django.db import connection, transaction
from pydantic import JsonValue

from workflow_service.outbox.models import Message

logger = logging.getLogger(__name__)

LEASE_MARGIN_S = 5.0
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 1.0, 300.0
MOST_REFUSALS = 3
MOST_FAILURES = 50
GIVEN_UP_AFTER = timedelta(days=3)

# The oldest of each subject alone; one that another process has locked is passed by, and keeps those behind it.
_NEXT = """
    SELECT m.id FROM outbox_message m
    WHERE {among} m.channel = %(channel)s AND m.status = 'PENDING' AND m.due_at <= clock_timestamp()
        AND (m.leased_until IS NULL OR m.leased_until <= clock_timestamp())
        AND NOT EXISTS (SELECT FROM outbox_message p WHERE p.channel = m.channel AND p.subject = m.subject
            AND p.status = 'PENDING' AND p.id < m.id)
    ORDER BY m.due_at, m.id LIMIT 1 FOR UPDATE OF m SKIP LOCKED
"""
# A few first, and all only if none of those may go: of a table that was empty a minute ago Postgres has no statistics,
# and compares every message with every other.
_TAKE = """
    WITH few AS MATERIALIZED (
        SELECT d.id FROM outbox_message d
        WHERE d.channel = %(channel)s AND d.status = 'PENDING' AND d.due_at <= clock_timestamp()
            AND (d.leased_until IS NULL OR d.leased_until <= clock_timestamp())
        ORDER BY d.due_at, d.id LIMIT 10
    )
    UPDATE outbox_message SET lease = %(lease)s, attempts = attempts + 1,
        leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
    WHERE id = coalesce(({one_of_few}), ({one_of_all}))
    RETURNING id, subject, message_id, body::text, attempts, clock_timestamp() - created_at AS age
"""
TAKE = _TAKE.format(
    one_of_few=_NEXT.format(among="m.id = ANY (ARRAY(SELECT id FROM few)) AND"),
    one_of_all=_NEXT.format(among=""),
)
DELIVERED = "DELETE FROM outbox_message WHERE id = %s AND lease = %s"
LATER = """
    UPDATE outbox_message SET lease = NULL, leased_until = NULL, last_error = %s,
        due_at = clock_timestamp() + make_interval(secs => %s),
        status = CASE WHEN %s THEN 'DEAD' ELSE status END
    WHERE id = %s AND lease = %s
"""
NOT_TRIED = """
    UPDATE outbox_message SET lease = NULL, leased_until = NULL, attempts = attempts - 1, last_error = %s
    WHERE id = %s AND lease = %s
"""
IS_OPEN = (
    "SELECT paused_until IS NULL OR paused_until <= clock_timestamp() FROM outbox_channel WHERE name = %s"
)
ANSWERED = """
    INSERT INTO outbox_channel (name, failures, last_error, last_success_at) VALUES (%s, 0, '', clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET failures = 0, paused_until = NULL, last_error = '',
        last_success_at = clock_timestamp()
"""
SILENT = """
    INSERT INTO outbox_channel AS c (name, failures, last_error, paused_until)
    VALUES (%s, 1, %s, clock_timestamp() + make_interval(secs => greatest(%s, %s)))
    ON CONFLICT (name) DO UPDATE SET failures = c.failures + 1, last_error = EXCLUDED.last_error,
        paused_until = clock_timestamp()
            + make_interval(secs => greatest(%s, least(%s, %s * power(2, least(c.failures, 20)))))
    RETURNING failures
"""


class Outcome(StrEnum):
    """What came of sending a message.

    DELIVERED; REFUSED for its own sake, and would be again; FAILED, perhaps for its own sake; or UNREACHABLE: nobody
    answered who could have an opinion on it.
    """

    DELIVERED = "delivered"
    REFUSED = "refused"
    FAILED = "failed"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Sent:
    """The outcome of one try, why, and how many seconds the receiver wants to be left alone."""

    outcome: Outcome
    reason: str = ""
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as it is handed to who sends it."""

    subject: str
    message_id: UUID
    body: str


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a channel's messages are tried, and when one is given up.

    ``silence_counts``: a try that nobody answered is one of the message's own too, so that another message is the next
    to be tried, and none waits for ever. Not so where messages must stay in their order.
    """

    first_backoff_s: float = FIRST_BACKOFF_S
    longest_backoff_s: float = LONGEST_BACKOFF_S
    most_refusals: int = MOST_REFUSALS
    most_failures: int = MOST_FAILURES
    given_up_after: timedelta = GIVEN_UP_AFTER
    silence_counts: bool = False

    def backoff_s(self, failures: int) -> float:
        """Return how many seconds to wait after so many failures in a row."""
        return float(min(self.longest_backoff_s, self.first_backoff_s * 2 ** min(max(failures - 1, 0), 20)))


Send = Callable[[Envelope], Sent]
# Told what came of a try, and whether the message is given up, in the transaction that notes it.
Noted = Callable[[Envelope, Sent, bool], object]
IN_ORDER = Retries()


def enqueue(channel: str, subject: str, body: JsonValue, *, message_id: UUID | None = None) -> UUID:
    """Keep a message for ``channel``, in the transaction that is open; returns its id."""
    return enqueue_all(channel, [(subject, body, message_id or uuid4())])[0]


def enqueue_all(channel: str, messages: Iterable[tuple[str, JsonValue, UUID]]) -> list[UUID]:
    """Keep messages, each a subject, a body and an id, in the transaction that is open; returns their ids."""
    rows = [
        Message(channel=channel, subject=subject, body=body, message_id=message_id)
        for subject, body, message_id in messages
    ]
    return [row.message_id for row in Message.objects.bulk_create(rows)]


def deliver(
    channel: str,
    send: Send,
    *,
    timeout_s: float,
    most: int = 100,
    turn_s: float = math.inf,
    retries: Retries = IN_ORDER,
    noted: Noted | None = None,
) -> int:
    """Send at most ``most`` messages that are due, one after another; returns how many arrived.

    ``timeout_s`` is how long ``send`` may take; none is begun once ``turn_s`` are over. Ends early where the receiver
    does not answer.
    """
    arrived, until = 0, time.monotonic() + turn_s
    for _ in range(most):
        if time.monotonic() > until or not is_open(channel):
            break
        sent = _deliver_one(channel, send, timeout_s, retries, noted)
        if sent is None or sent.outcome is Outcome.UNREACHABLE:
            break
        arrived += sent.outcome is Outcome.DELIVERED
    return arrived


def is_open(channel: str) -> bool:
    """Tell whether the receiver is not being left alone."""
    with connection.cursor() as cursor:
        cursor.execute(IS_OPEN, [channel])
        row = cursor.fetchone()
    return row is None or bool(row[0])


def backoff_s(failures: int) -> float:
    """Return how many seconds to wait after so many failures in a row, where nothing else is said."""
    return IN_ORDER.backoff_s(failures)


def _deliver_one(
    channel: str, send: Send, timeout_s: float, retries: Retries, noted: Noted | None
) -> Sent | None:
    lease = uuid4()
    with connection.cursor() as cursor:
        cursor.execute(TAKE, {"channel": channel, "lease": lease, "lease_s": timeout_s + LEASE_MARGIN_S})
        row = cursor.fetchone()
    if row is None:
        return None
    row_id, subject, message_id, body, attempts, age = row
    envelope = Envelope(subject, message_id, body)
    sent = send(envelope)
    silent = sent.outcome is Outcome.UNREACHABLE
    most = retries.most_refusals if sent.outcome is Outcome.REFUSED else retries.most_failures
    given_up = (
        sent.outcome is not Outcome.DELIVERED
        and (retries.silence_counts or not silent)
        and (attempts >= most or age >= retries.given_up_after)
    )
    with transaction.atomic(), connection.cursor() as cursor:
        if sent.outcome is Outcome.DELIVERED:
            cursor.execute(DELIVERED, [row_id, lease])
        elif silent and not retries.silence_counts:
            cursor.execute(NOT_TRIED, [sent.reason[:500], row_id, lease])
        else:
            wait_s = max(sent.wait_s, retries.backoff_s(attempts))
            cursor.execute(LATER, [sent.reason[:500], wait_s, given_up, row_id, lease])
        # Whoever was too slow has nothing to tell: another one sends it.
        if cursor.rowcount and noted is not None:
            noted(envelope, sent, given_up)
    with connection.cursor() as cursor:
        if sent.outcome is Outcome.DELIVERED:
            cursor.execute(ANSWERED, [channel])
        elif silent:
            _leave_alone(cursor, channel, sent)
    if given_up:
        logger.error("A message about %s is given up on %s: %s", subject, channel, sent.reason)
    return sent


def _leave_alone(cursor: object, channel: str, sent: Sent) -> None:
    wait_s = min(sent.wait_s, 3_600.0)
    execute = cursor.execute  # type: ignore[attr-defined]
    execute(
        SILENT,
        [channel, sent.reason[:500], wait_s, FIRST_BACKOFF_S, wait_s, LONGEST_BACKOFF_S, FIRST_BACKOFF_S],
    )
    (failures,) = cursor.fetchone()  # type: ignore[attr-defined]
    level = logging.WARNING if failures in (1, 5) or failures % 20 == 0 else logging.DEBUG
    logger.log(level, "%s does not answer (%s times in a row): %s", channel, failures, sent.reason)

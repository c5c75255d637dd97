"""Sends what is due beside the sweeper's tick: a few threads, each with one channel of the outbox at a time.

A tick asks one question of the database and goes on. E-mail, webhooks and what tells people have threads of their own,
so that a slow receiver delays nothing but itself; how much one thread sends before it asks again is bounded.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

from django.db import connection
from django.utils import timezone

from workflow_service.engine.definition import JsonObject
from workflow_service.notifications.emails import send_emails
from workflow_service.notifications.models import Notification, WebhookDelivery
from workflow_service.notifications.service import EMAIL_CHANNEL
from workflow_service.notifications.webhooks import CHANNEL_PREFIX, send_webhooks
from workflow_service.outbox.delivery import Envelope, Outcome, Sent, deliver
from workflow_service.outbox.models import Channel
from workflow_service.settings.config import get_config

logger = logging.getLogger(__name__)

ANNOUNCEMENTS_AT_ONCE = 200
ANNOUNCEMENT_LEASE_S = 30.0
KEPT_FOR = timedelta(days=90)
FORGET_EVERY_S, FORGET_AT_ONCE = 60.0, 1_000

DUE_CHANNELS = """
    SELECT m.channel FROM outbox_message m LEFT JOIN outbox_channel c ON c.name = m.channel
    WHERE m.status = 'PENDING' AND m.due_at <= clock_timestamp()
        AND (m.leased_until IS NULL OR m.leased_until <= clock_timestamp())
        AND (c.paused_until IS NULL OR c.paused_until <= clock_timestamp())
        AND (m.channel = ANY(%s) OR m.channel LIKE %s) AND NOT m.channel = ANY(%s)
    GROUP BY m.channel ORDER BY min(m.due_at), m.channel
"""

# Given what was announced, finds out whom it concerns and calls ``notify``; asked again it must say the same.
Announce = Callable[[JsonObject], object]
_announcers: dict[str, Announce] = {}
_under_way: dict[str, str] = {}
_lock = threading.Lock()
_pools: dict[str, ThreadPoolExecutor] = {}
_forgotten_at = 0.0
# When a channel with something to send last had its turn, on the monotonic clock.
_turns: dict[str, float] = {}


def register_announcer(channel: str, announce: Announce) -> None:
    """Have what is enqueued on ``channel`` made into notices by an app above this one."""
    _announcers[channel] = announce


def send_notifications() -> None:
    """Begin to send what is due, as far as threads are free; a step of the sweeper, which waits for none of it."""
    threads = get_config().notification_threads
    if threads == 0:
        return
    forget_old()
    with _lock:
        under_way = list(_under_way)
    due = due_channels(but=under_way)
    ailing = _ailing(due)
    for channel in _by_turn(due, under_way):
        # Receivers that did not answer last time never hold every thread: one is left for those that do.
        _begin(channel, threads, at_most=max(1, threads - 1) if channel in ailing else threads)


def deliver_due(*, rounds: int = 10) -> None:
    """Send here and now what is due, and what comes of it."""
    for _ in range(rounds):
        channels = due_channels()
        if not channels:
            return
        for channel in channels:
            work_off(channel)


def due_channels(*, but: Collection[str] = ()) -> list[str]:
    """Return the channels that have something to send, what has waited longest first."""
    with connection.cursor() as cursor:
        cursor.execute(DUE_CHANNELS, [[EMAIL_CHANNEL, *_announcers], f"{CHANNEL_PREFIX}%", list(but)])
        return [row[0] for row in cursor.fetchall()]


def work_off(channel: str) -> None:
    """Send what is due on one channel, some at a time."""
    if channel == EMAIL_CHANNEL:
        send_emails()
    elif channel.startswith(CHANNEL_PREFIX):
        send_webhooks(int(channel.removeprefix(CHANNEL_PREFIX)))
    else:
        announce = partial(_announce, _announcers[channel])
        deliver(channel, announce, timeout_s=ANNOUNCEMENT_LEASE_S, most=ANNOUNCEMENTS_AT_ONCE)


def forget_old() -> None:
    """Delete what is older than 90 days, some at a time and at most once a minute."""
    global _forgotten_at
    if time.monotonic() - _forgotten_at < FORGET_EVERY_S and _forgotten_at:
        return
    _forgotten_at = time.monotonic()
    before = timezone.now() - KEPT_FOR
    old = Notification.objects.filter(created_at__lt=before).order_by("created_at")
    Notification.objects.filter(pk__in=old.values("pk")[:FORGET_AT_ONCE]).delete()
    sent = WebhookDelivery.objects.filter(created_at__lt=before).exclude(
        status=WebhookDelivery.Status.PENDING
    )
    WebhookDelivery.objects.filter(pk__in=sent.order_by("created_at").values("pk")[:FORGET_AT_ONCE]).delete()


def _by_turn(due: Sequence[str], under_way: Collection[str]) -> list[str]:
    """Order channels by who had no turn for longest: a slow one with much that waits must not come first each time."""
    for channel in _turns.keys() - {*due, *under_way}:
        del _turns[channel]
    return sorted(due, key=lambda channel: _turns.get(channel, 0.0))


def _announce(announce: Announce, envelope: Envelope) -> Sent:
    try:
        announce(json.loads(envelope.body))
    except Exception as error:
        logger.exception("what happened to %s could not be told; it is tried again", envelope.subject)
        return Sent(Outcome.FAILED, f"{type(error).__name__}: {error}"[:500])
    return Sent(Outcome.DELIVERED)


def _kind(channel: str) -> str:
    if channel.startswith(CHANNEL_PREFIX):
        return "webhooks"
    return EMAIL_CHANNEL if channel == EMAIL_CHANNEL else "announcements"


def _ailing(channels: Collection[str]) -> set[str]:
    """Return those of the channels whose receiver did not answer when it was last tried."""
    return set(Channel.objects.filter(name__in=channels, failures__gt=0).values_list("name", flat=True))


def _begin(channel: str, webhook_threads: int, *, at_most: int) -> None:
    """Have a channel worked off on a thread of its kind, unless all of those, or ``at_most``, are at work."""
    kind = _kind(channel)
    threads = webhook_threads if kind == "webhooks" else 1
    with _lock:
        if channel in _under_way or sum(one == kind for one in _under_way.values()) >= min(threads, at_most):
            return
        _under_way[channel] = kind
        _turns[channel] = time.monotonic()
        pool = _pools.get(kind)
        if pool is None:
            pool = _pools[kind] = ThreadPoolExecutor(threads, thread_name_prefix=f"notify-{kind}")
    pool.submit(_run, channel)


def _run(channel: str) -> None:
    try:
        work_off(channel)
    except Exception:
        logger.exception("nothing could be sent on %s; it is tried again with the next tick", channel)
    finally:
        connection.close()
        with _lock:
            _under_way.pop(channel, None)

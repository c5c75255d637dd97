"""``notify``: the one way to tell people and webhooks something.

It writes rows in the caller's transaction and sends nothing: what is told is told because it became true, and once,
however often it is asked for with one ``key``. Sending is the outbox's affair (``delivery.py``).
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID, uuid4

from django.db import connection
from django.utils import timezone
from pydantic import JsonValue

from workflow_service.engine.definition import JsonObject
from workflow_service.notifications.models import (
    NotificationPreference,
    Topic,
    WebhookEndpoint,
    new_delivery_id,
)
from workflow_service.outbox.delivery import enqueue_all

EMAIL_CHANNEL = "email"
MAX_TITLE_CHARACTERS, MAX_TEXT_CHARACTERS = 300, 4_000

KEEP = """
    INSERT INTO notifications_notification (workspace_id, user_id, topic, key, title, text, path, shown)
    SELECT %s, r.user_id, %s, %s, %s, %s, %s, r.shown
    FROM unnest(%s::bigint[], %s::boolean[]) AS r (user_id, shown)
    ON CONFLICT (user_id, key) DO NOTHING RETURNING id, user_id
"""
KEEP_DELIVERIES = """
    INSERT INTO notifications_webhookdelivery (
        endpoint_id, public_id, message_id, key, topic, body, status, attempts, last_error)
    SELECT r.endpoint_id, r.public_id, r.message_id, %s, %s, %s::jsonb, 'pending', 0, ''
    FROM unnest(%s::bigint[], %s::text[], %s::uuid[]) AS r (endpoint_id, public_id, message_id)
    ON CONFLICT (endpoint_id, key) DO NOTHING RETURNING id, endpoint_id, message_id
"""


class Way(StrEnum):
    """The ways in which somebody is told."""

    EMAIL = "email"
    IN_APP = "in_app"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told. ``path`` is a page of this service; ``data`` is what webhooks get; ``key`` makes it one notice."""

    topic: Topic
    title: str
    text: str
    path: str
    data: JsonObject
    key: str


@dataclass(frozen=True, slots=True)
class Link:
    """Something that the receiver of an e-mail can do at once. The URL is a secret of theirs."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is told; ``links`` stand in this person's e-mail and nowhere else."""

    user_id: int
    links: tuple[Link, ...] = ()


def notify(
    workspace_id: int,
    notice: Notice,
    receivers: Sequence[Receiver],
    *,
    channels: Collection[str] | None = None,
    asked_for: bool = False,
) -> None:
    """Tell people, each as they prefer, and the workspace's webhooks that want the topic, in the open transaction.

    ``channels`` are the ways to be used (``Way``), all of them if not given. What was ``asked_for`` by its receiver
    comes whatever they prefer to be told unasked. Whoever was told the notice of that key is not told again.
    """
    ways = frozenset(Way) if channels is None else frozenset(channels) & frozenset(Way)
    if Way.EMAIL in ways or Way.IN_APP in ways:
        _tell_people(workspace_id, notice, receivers, ways, asked_for)
    if Way.WEBHOOK in ways:
        _tell_webhooks(workspace_id, notice)


def event_body(topic: str, data: JsonObject, at: datetime) -> JsonObject:
    """Return a webhook's payload as Standard Webhooks has it: what, when, and the facts."""
    return {"type": topic, "timestamp": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "data": data}


def one_line(text: str, most: int = MAX_TITLE_CHARACTERS) -> str:
    """Return a text fit for a header: no line break, nothing invisible, not longer than ``most`` characters."""
    plain = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def _tell_people(
    workspace_id: int, notice: Notice, receivers: Sequence[Receiver], ways: frozenset[str], asked_for: bool
) -> None:
    links = {receiver.user_id: receiver.links for receiver in receivers}
    wanted = dict.fromkeys(links, ways) if asked_for else _wanted(notice.topic, list(links), ways)
    shown = {user_id: Way.IN_APP in chosen for user_id, chosen in wanted.items() if chosen}
    if not shown:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            KEEP,
            [
                workspace_id,
                notice.topic,
                notice.key,
                one_line(notice.title),
                notice.text[:MAX_TEXT_CHARACTERS],
                notice.path,
                list(shown),
                list(shown.values()),
            ],
        )
        told = cursor.fetchall()
    enqueue_all(
        EMAIL_CHANNEL,
        [
            (f"notification:{notification_id}", _mail(notification_id, links[user_id]), uuid4())
            for notification_id, user_id in told
            if Way.EMAIL in wanted[user_id]
        ],
    )


def _mail(notification_id: int, links: Sequence[Link]) -> JsonValue:
    return {
        "notification": notification_id,
        "links": [{"label": link.label, "url": link.url} for link in links],
    }


def _wanted(topic: Topic, user_ids: Sequence[int], ways: Collection[str]) -> Mapping[int, frozenset[str]]:
    """Return by which of ``ways`` each user wants to be told about the topic."""
    chosen = {
        one.user_id: frozenset([Way.EMAIL] * one.email + [Way.IN_APP] * one.in_app)
        for one in NotificationPreference.objects.filter(user__in=user_ids, topic=topic)
    }
    everything = frozenset({Way.EMAIL, Way.IN_APP})
    return {user_id: chosen.get(user_id, everything) & frozenset(ways) for user_id in user_ids}


def _tell_webhooks(workspace_id: int, notice: Notice) -> None:
    endpoints = WebhookEndpoint.objects.filter(
        workspace=workspace_id, enabled=True, topics__contains=[notice.topic]
    )
    keep_deliveries(
        list(endpoints),
        topic=notice.topic,
        key=notice.key,
        body=event_body(notice.topic, notice.data, timezone.now()),
    )


def keep_deliveries(
    endpoints: Sequence[WebhookEndpoint], *, topic: str, key: str, body: JsonObject
) -> list[int]:
    """Write one message for each endpoint that has none of that key; returns the keys of the new rows."""
    if not endpoints:
        return []
    by_id = {endpoint.pk: endpoint for endpoint in endpoints}
    public_ids = [new_delivery_id() for _ in endpoints]
    with connection.cursor() as cursor:
        cursor.execute(
            KEEP_DELIVERIES,
            [key, topic, json.dumps(body), list(by_id), public_ids, [uuid4() for _ in endpoints]],
        )
        kept: list[tuple[int, int, UUID]] = cursor.fetchall()
    for delivery_id, endpoint_id, message_id in kept:
        send_delivery(by_id[endpoint_id].channel, delivery_id, message_id)
    return [delivery_id for delivery_id, _, _ in kept]


def send_delivery(channel: str, delivery_id: int, message_id: UUID) -> None:
    """Hand a delivery to the outbox, in the open transaction."""
    enqueue_all(channel, [(f"delivery:{delivery_id}", {"delivery": delivery_id}, message_id)])

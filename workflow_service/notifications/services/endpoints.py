"""Webhook endpoints: registered, changed, given another secret, tried out, and sent again what they missed."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
from django.db import transaction
from django.utils import timezone

from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.accounts.recording import record_by
from workflow_service.agents.egress_rules import EgressRefused, check_url
from workflow_service.engine.errors import Problem
from workflow_service.notifications.errors import (
    DeliveryNotFound,
    TooManyWebhooks,
    WebhookDisabled,
    WebhookInvalid,
    WebhookNotFound,
)
from workflow_service.notifications.models import Topic, WebhookDelivery, WebhookEndpoint
from workflow_service.notifications.service import event_body, keep_deliveries, send_delivery
from workflow_service.notifications.services.secrets import new_secret
from workflow_service.notifications.webhooks import give_up
from workflow_service.outbox.models import Channel, Message

MAX_ENDPOINTS = 20
MAX_REPLAYED = 1_000
TEST_TOPIC = "webhook_test"


@transaction.atomic
def create_endpoint(
    *, workspace: Workspace, actor: User, url: str, topics: Collection[str], description: str = ""
) -> tuple[WebhookEndpoint, str]:
    """Register an endpoint; returns it with its secret, which is never shown again.

    Raises ``Forbidden``, ``WebhookInvalid``, ``TooManyWebhooks``, ``NoEncryptionKey``.
    """
    require(actor, workspace, Action.WEBHOOK_MANAGE)
    check_endpoint(url=url, topics=topics)
    # One after another, so that the bound holds.
    Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)
    if WebhookEndpoint.objects.filter(workspace=workspace).count() >= MAX_ENDPOINTS:
        raise TooManyWebhooks(f"a workspace has at most {MAX_ENDPOINTS} webhook endpoints; delete one")
    endpoint = WebhookEndpoint.objects.create(
        workspace=workspace, url=url, topics=sorted(set(topics)), description=description, created_by=actor
    )
    _record(actor, "webhook.create", endpoint)
    return endpoint, new_secret(endpoint)


@transaction.atomic
def change_endpoint(
    *,
    endpoint: WebhookEndpoint,
    actor: User,
    url: str | None = None,
    topics: Collection[str] | None = None,
    description: str | None = None,
    enabled: bool | None = None,
) -> WebhookEndpoint:
    """Change what is given; switched off, what waited is given up. Raises as ``create_endpoint``."""
    endpoint = _locked(endpoint, actor)
    check_endpoint(
        url=endpoint.url if url is None else url, topics=endpoint.topics if topics is None else topics
    )
    if url is not None and url != endpoint.url:
        # How the old address answered says nothing of the new one.
        endpoint.url = url
        Channel.objects.filter(name=endpoint.channel).delete()
    if topics is not None:
        endpoint.topics = sorted(set(topics))
    if description is not None:
        endpoint.description = description
    if enabled is not None and enabled != endpoint.enabled:
        endpoint.enabled, endpoint.disabled_reason = enabled, ""
        if enabled:
            Channel.objects.filter(name=endpoint.channel).delete()
        else:
            give_up(endpoint.pk, "the endpoint was switched off")
    endpoint.save()
    _record(actor, "webhook.change", endpoint)
    return endpoint


@transaction.atomic
def delete_endpoint(*, endpoint: WebhookEndpoint, actor: User) -> None:
    """Delete an endpoint with its deliveries; raises ``Forbidden``, ``WebhookNotFound``."""
    endpoint = _locked(endpoint, actor)
    Message.objects.filter(channel=endpoint.channel).delete()
    Channel.objects.filter(name=endpoint.channel).delete()
    _record(actor, "webhook.delete", endpoint)
    endpoint.delete()


@transaction.atomic
def rotate_secret(*, endpoint: WebhookEndpoint, actor: User) -> str:
    """Give an endpoint another secret and return it; for 24 hours messages are signed with both."""
    endpoint = _locked(endpoint, actor)
    _record(actor, "webhook.rotate_secret", endpoint)
    return new_secret(endpoint)


@transaction.atomic
def send_test(*, endpoint: WebhookEndpoint, actor: User) -> WebhookDelivery:
    """Send an endpoint a message that says nothing; raises ``WebhookDisabled``."""
    endpoint = _locked(endpoint, actor)
    _require_enabled(endpoint)
    data = {"endpointId": endpoint.public_id, "message": "It works."}
    body = event_body(TEST_TOPIC, {**data}, timezone.now())
    [made] = keep_deliveries([endpoint], topic=TEST_TOPIC, key=f"test:{uuid4().hex}", body=body)
    return WebhookDelivery.objects.get(pk=made)


@transaction.atomic
def replay_delivery(*, endpoint: WebhookEndpoint, actor: User, delivery_id: str) -> WebhookDelivery:
    """Send a message again under the id it had; one that waits still is sent now.

    Raises ``Forbidden``, ``DeliveryNotFound``, ``WebhookDisabled``.
    """
    endpoint = _locked(endpoint, actor)
    _require_enabled(endpoint)
    found = WebhookDelivery.objects.select_for_update().filter(endpoint=endpoint, public_id=delivery_id[:40])
    delivery = found.first()
    if delivery is None:
        raise DeliveryNotFound(f"this endpoint has no delivery '{delivery_id[:40]}'")
    _send_again(endpoint, [delivery])
    _record(actor, "webhook.replay", endpoint, count=1, delivery=delivery.public_id)
    return delivery


@transaction.atomic
def replay_failed(*, endpoint: WebhookEndpoint, actor: User, since: datetime) -> int:
    """Send again what was given up since a moment, the oldest 1,000 at most; returns how many messages."""
    endpoint = _locked(endpoint, actor)
    _require_enabled(endpoint)
    failed = WebhookDelivery.objects.select_for_update().filter(
        endpoint=endpoint, status=WebhookDelivery.Status.FAILED, created_at__gte=since
    )
    deliveries = list(failed.order_by("id")[:MAX_REPLAYED])
    _send_again(endpoint, deliveries)
    _record(actor, "webhook.replay", endpoint, count=len(deliveries))
    return len(deliveries)


def check_endpoint(*, url: str, topics: Collection[str]) -> None:
    """Raise ``WebhookInvalid`` for an address that is never called, or for topics that there are not.

    Where the host's name leads is looked at with every message, not here: it may change.
    """
    try:
        check_url(httpx.URL(url))
        reason = "the URL has a fragment, which is never sent" if "#" in url else ""
    except (httpx.InvalidURL, EgressRefused, ValueError) as error:
        reason = str(error)
    if reason or len(url) > 2_000:
        message = reason or "the URL is longer than 2000 characters"
        raise WebhookInvalid(message, [Problem("WEBHOOK_INVALID", message, pointer="/url")])
    unknown = sorted(set(topics) - set(Topic.values))
    if unknown or not topics:
        wrong = f"there is no topic '{unknown[0]}'" if unknown else "name at least one topic"
        message = f"{wrong}; topics are {', '.join(Topic.values)}"
        raise WebhookInvalid(message, [Problem("WEBHOOK_INVALID", message, pointer="/topics")])


def _record(actor: User, action: str, endpoint: WebhookEndpoint, /, **detail: Any) -> None:
    """Record what was done to an endpoint: with the host of its address, for the rest of that may be a secret."""
    told = {"host": httpx.URL(endpoint.url).host, "topics": endpoint.topics, "enabled": endpoint.enabled}
    record_by(actor, action, endpoint.workspace_id, "webhook", endpoint.public_id, **told, **detail)


def _locked(endpoint: WebhookEndpoint, actor: User) -> WebhookEndpoint:
    require(actor, endpoint.workspace, Action.WEBHOOK_MANAGE)
    found = WebhookEndpoint.objects.select_for_update().filter(pk=endpoint.pk).first()
    if found is None:
        raise WebhookNotFound("the webhook endpoint was deleted meanwhile")
    return found


def _require_enabled(endpoint: WebhookEndpoint) -> None:
    if not endpoint.enabled:
        raise WebhookDisabled("the endpoint is switched off: switch it on first")


def _send_again(endpoint: WebhookEndpoint, deliveries: Sequence[WebhookDelivery]) -> None:
    Message.objects.filter(message_id__in=[delivery.message_id for delivery in deliveries]).delete()
    for delivery in deliveries:
        delivery.status = WebhookDelivery.Status.PENDING
        send_delivery(endpoint.channel, delivery.pk, delivery.message_id)
    WebhookDelivery.objects.bulk_update(deliveries, ["status"])
    Channel.objects.filter(name=endpoint.channel).update(paused_until=None)

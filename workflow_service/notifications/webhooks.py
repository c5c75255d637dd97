"""Webhooks on their way: signed as https://www.standardwebhooks.com has it, through the guard on outgoing requests.

An endpoint has a channel of the outbox to itself, so that none waits for another. Whatever is no 2xx is tried again,
later and later, for three days; then the message is given up, and an endpoint that has taken nothing since is left
alone until a person switches it on again. 410 does that at once.
"""

import json
import time
from collections.abc import Mapping
from datetime import timedelta

import httpx
from django.db import transaction
from django.utils import timezone

from workflow_service.agents.egress import Egress, GuardedTransport
from workflow_service.agents.egress_rules import EgressRefused, check_url, parse_allowed
from workflow_service.agents.library.webhooks import sign
from workflow_service.engine.errors import WorkflowError
from workflow_service.notifications.models import WebhookDelivery, WebhookEndpoint
from workflow_service.notifications.services.secrets import secrets_of
from workflow_service.outbox.delivery import Envelope, Outcome, Retries, Sent, deliver
from workflow_service.outbox.http import WANTS_REST
from workflow_service.outbox.models import Message
from workflow_service.settings.config import get_config

CHANNEL_PREFIX = "webhook:"
TIMEOUT_S = 15.0
MESSAGES_AT_ONCE = 20
# One that answers, but slowly, gives its thread back to the others.
TURN_S = 5.0
MAX_WAIT_S = 3_600.0
GONE = 410
RETRIES = Retries(
    first_backoff_s=5.0,
    longest_backoff_s=6 * 3_600.0,
    most_refusals=50,
    given_up_after=timedelta(days=3),
    silence_counts=True,
)


def send_webhooks(endpoint_id: int) -> int:
    """Send what is due to one endpoint, some at a time; returns how many messages it took."""
    endpoint = WebhookEndpoint.objects.filter(pk=endpoint_id, enabled=True).first()
    if endpoint is None:
        give_up(endpoint_id, "the endpoint is switched off, or gone")
        return 0
    sender = _Sender(endpoint)
    return deliver(
        endpoint.channel,
        sender.send,
        timeout_s=TIMEOUT_S + 5,
        most=MESSAGES_AT_ONCE,
        turn_s=TURN_S,
        retries=RETRIES,
        noted=sender.note,
    )


@transaction.atomic
def give_up(endpoint_id: int, reason: str) -> None:
    """Give up what still waits for an endpoint; a replay sends it after all.

    At once: a delivery that waits without a message would wait for ever.
    """
    Message.objects.filter(channel=f"{CHANNEL_PREFIX}{endpoint_id}").delete()
    waiting = WebhookDelivery.objects.filter(endpoint=endpoint_id, status=WebhookDelivery.Status.PENDING)
    waiting.update(status=WebhookDelivery.Status.FAILED, last_error=reason)


class _Sender:
    """Sends to one endpoint, and notes on each delivery what came of it."""

    def __init__(self, endpoint: WebhookEndpoint) -> None:
        self._endpoint = endpoint
        self._status: int | None = None

    def send(self, envelope: Envelope) -> Sent:
        """POST one message; nothing is raised, whatever the receiver does."""
        self._status = None
        delivery = WebhookDelivery.objects.filter(pk=json.loads(envelope.body)["delivery"]).first()
        if delivery is None:
            return Sent(Outcome.DELIVERED)
        body = json.dumps(delivery.body, ensure_ascii=False, separators=(",", ":")).encode()
        try:
            headers = self._headers(delivery, body)
            self._status, wait_s = post(self._endpoint.url, body, headers)
        except WorkflowError as error:
            return Sent(Outcome.FAILED, error.message)
        except EgressRefused as error:
            return Sent(Outcome.FAILED, str(error))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
            return Sent(Outcome.UNREACHABLE, f"{type(error).__name__}: {error}"[:500])
        if 200 <= self._status < 300:
            return Sent(Outcome.DELIVERED)
        # It wants to be left alone; or else it may be this message that it cannot take, and the others are tried.
        outcome = Outcome.UNREACHABLE if self._status in WANTS_REST else Outcome.FAILED
        return Sent(outcome, f"answered {self._status}", wait_s)

    def note(self, envelope: Envelope, sent: Sent, given_up: bool) -> None:
        """Write down what came of a try, in the transaction that notes it in the outbox."""
        now = timezone.now()
        delivery = (
            WebhookDelivery.objects.select_for_update()
            .filter(pk=json.loads(envelope.body)["delivery"])
            .first()
        )
        if delivery is None:
            return
        delivery.attempts += 1
        delivery.last_tried_at, delivery.last_status, delivery.last_error = (
            now,
            self._status,
            sent.reason[:500],
        )
        if sent.outcome is Outcome.DELIVERED:
            delivery.status = WebhookDelivery.Status.DELIVERED
            WebhookEndpoint.objects.filter(pk=self._endpoint.pk).update(last_success_at=now)
        elif given_up:
            delivery.status = WebhookDelivery.Status.FAILED
        delivery.save(update_fields=["attempts", "last_tried_at", "last_status", "last_error", "status"])
        if self._status == GONE:
            self._disable("it answered 410: it is gone for good")
        elif given_up and self._silent_since(delivery):
            self._disable("it took nothing for as long as a message is tried")

    def _silent_since(self, delivery: WebhookDelivery) -> bool:
        last = WebhookEndpoint.objects.values_list("last_success_at", flat=True).get(pk=self._endpoint.pk)
        return last is None or last < delivery.created_at

    def _disable(self, reason: str) -> None:
        WebhookEndpoint.objects.filter(pk=self._endpoint.pk).update(enabled=False, disabled_reason=reason)
        give_up(self._endpoint.pk, f"the endpoint was switched off: {reason}")

    def _headers(self, delivery: WebhookDelivery, body: bytes) -> Mapping[str, str]:
        timestamp = int(time.time())
        signatures = [sign(one, delivery.webhook_id, timestamp, body) for one in secrets_of(self._endpoint)]
        return {
            "content-type": "application/json",
            "user-agent": "workflow-service",
            "accept-encoding": "identity",
            "webhook-id": delivery.webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(signatures),
        }


def post(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, float]:
    """POST through the guard; returns the status and how many seconds the receiver wants to be left alone.

    Redirects are not followed: a receiver that moved says so to who registered it. Raises httpx's errors and
    ``EgressRefused``; ends after 15 s, however the answer drips.
    """
    egress = Egress(parse_allowed(get_config().egress_allow), time.monotonic() + TIMEOUT_S)
    with httpx.Client(
        transport=GuardedTransport(egress),
        trust_env=False,
        follow_redirects=False,
        timeout=None,  # noqa: S113 (the guard's deadline holds)
    ) as client:
        request = client.build_request("POST", url, content=body, headers=dict(headers))
        check_url(request.url)
        response = client.send(request, stream=True)
        try:
            return response.status_code, _retry_after_s(response.headers.get("retry-after"))
        finally:
            response.close()


def _retry_after_s(value: str | None) -> float:
    try:
        return min(max(0.0, float(value or 0)), MAX_WAIT_S)
    except ValueError:
        return 0.0

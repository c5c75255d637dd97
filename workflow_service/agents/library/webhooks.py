"""Webhooks: signed messages to other services, as https://www.standardwebhooks.com has them."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping

import httpx
from pydantic import Field, JsonValue

from workflow_service.agents.egress_rules import check_url
from workflow_service.agents.errors import ToolError
from workflow_service.agents.library.downloads import guarded_client, raise_unexpected
from workflow_service.agents.library.shapes import Output, Params
from workflow_service.agents.use_cases import FROM_SECRET, RunContext, use_case
from workflow_service.engine.states import ErrorType

MAX_ANSWER_BYTES = 64 * 1024
SECRET_PREFIX = "whsec_"  # noqa: S105 (the prefix that such secrets have, no secret)
OWN_HEADERS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "te"}
)


class WebhookInput(Params):
    """``payload`` is sent as JSON with its ``type``. ``secret`` signs it: let it come from a secret.

    Every try of the block sends the same ``webhook-id``, by which the receiver knows what it has had already.
    """

    url: str = Field(min_length=1, max_length=8_000)
    type: str = Field("workflow.event", min_length=1, max_length=200)
    payload: JsonValue = {}
    secret: str | None = Field(
        None, min_length=16, max_length=500, repr=False, json_schema_extra={FROM_SECRET: True}
    )
    headers: dict[str, str] = Field({}, max_length=50)


class WebhookOutput(Output):
    """``id`` is the message's; ``answer`` the start of what the receiver said, as text."""

    id: str
    status: int
    answer: str
    signed: bool


@use_case("webhook.send")
def send_webhook(params: WebhookInput, run: RunContext) -> WebhookOutput:
    """Send an event to a URL as a signed webhook, with an id that stays the same on every try."""
    message_id = f"msg_{hashlib.sha256(run.idempotency_key.encode()).hexdigest()[:32]}"
    body = json.dumps({"type": params.type, "data": params.payload}, ensure_ascii=False).encode()
    headers = _headers(params, run, message_id, body)
    with guarded_client(run) as client:
        request = client.build_request("POST", params.url, headers=headers, content=body)
        check_url(request.url)
        response = client.send(request, stream=True)
        try:
            if not 200 <= response.status_code < 300:
                raise_unexpected(request, response)
            answer = _start(response)
        finally:
            response.close()
    return WebhookOutput(
        id=message_id, status=response.status_code, answer=answer, signed=params.secret is not None
    )


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message, as its receiver computes it."""
    key = secret.encode()
    if secret.startswith(SECRET_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error:
            raise ValueError("what follows whsec_ in the secret is not base64") from None
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def _headers(params: WebhookInput, run: RunContext, message_id: str, body: bytes) -> Mapping[str, str]:
    for name in params.headers:
        if name.lower() in OWN_HEADERS or name.lower().startswith("webhook-"):
            message = f"the header '{name}' is set by the service; leave it out"
            raise ToolError(ErrorType.CONFIGURATION_ERROR, message)
    timestamp = int(time.time())
    headers = {
        **params.headers,
        "content-type": "application/json",
        "idempotency-key": run.idempotency_key,
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
    }
    if params.secret is not None:
        headers["webhook-signature"] = sign(params.secret, message_id, timestamp, body)
    return headers


def _start(response: httpx.Response) -> str:
    content = bytearray()
    for chunk in response.iter_raw():
        content += chunk
        if len(content) >= MAX_ANSWER_BYTES:
            break
    return content[:MAX_ANSWER_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd")

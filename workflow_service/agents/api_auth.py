"""How an API request says who asks: ``auth`` in the configuration, its credentials filled in from secrets.

Tokens of OAuth 2 are kept in this process's memory only, per workspace and credentials, until shortly before they
expire. Whatever is sent as a credential is concealed first.
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Literal
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from workflow_service.agents.errors import ToolError
from workflow_service.engine.errors import Problem
from workflow_service.engine.json_values import JsonUnfit, json_pointer, load_json
from workflow_service.engine.states import ErrorType

MAX_TOKEN_ANSWER_BYTES = 65_536
MAX_TOKENS = 256
# Of a token's life this is left unused: it must not expire on its way.
EXPIRY_MARGIN_S = 30.0
DEFAULT_LIFE_S = 60.0
Credential = Annotated[str, Field(min_length=1, max_length=65_536, repr=False)]


class _Auth(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, frozen=True)


class BearerAuth(_Auth):
    """``{"type": "bearer", "token": "${secrets.TOKEN}"}``"""

    type: Literal["bearer"]
    token: Credential


class BasicAuth(_Auth):
    """``{"type": "basic", "username": "shop", "password": "${secrets.PASSWORD}"}`` (RFC 7617)"""

    type: Literal["basic"]
    username: str = Field(max_length=1_000, pattern=r"^[^:]*$")
    password: Credential


class ApiKeyAuth(_Auth):
    """``{"type": "apiKey", "name": "X-Api-Key", "value": "${secrets.KEY}", "in": "header"}``"""

    type: Literal["apiKey"]
    name: str = Field("X-Api-Key", min_length=1, max_length=200)
    value: Credential
    place: Literal["header", "query"] = Field("header", alias="in")


class ClientCredentialsAuth(_Auth):
    """``{"type": "oauth2ClientCredentials", "tokenUrl": …, "clientId": …, "clientSecret": …}`` (RFC 6749, 4.4)"""

    type: Literal["oauth2ClientCredentials"]
    token_url: str = Field(min_length=1, max_length=2_000)
    client_id: str = Field(min_length=1, max_length=1_000)
    client_secret: Credential
    scope: str | None = Field(None, max_length=2_000)
    audience: str | None = Field(None, max_length=2_000)
    client_authentication: Literal["basic", "body"] = "basic"


Auth = Annotated[BearerAuth | BasicAuth | ApiKeyAuth | ClientCredentialsAuth, Field(discriminator="type")]
_CREDENTIALS = ("token", "password", "value", "clientSecret", "client_secret")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request carries because of its ``auth``."""

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


def plain_credentials(configuration: Mapping[str, JsonValue]) -> Iterator[Problem]:
    """Yield a problem for each credential that stands in a definition itself, for everybody to read."""
    auth = configuration.get("auth")
    if not isinstance(auth, Mapping):
        return
    for name in _CREDENTIALS:
        value = auth.get(name)
        if isinstance(value, str) and "${" not in value:
            yield Problem(
                ErrorType.CONFIGURATION_ERROR,
                f"'{name}' stands in the definition in plain text",
                pointer=json_pointer("auth", name),
                suggestion="keep it as a secret, and write ${secrets.NAME}",
            )


def credentials_of(
    auth: Auth | None, *, workspace_id: str, client: httpx.Client, conceal: Callable[[str], None]
) -> Credentials:
    """Return what to send; ``client`` fetches a token where there is none. Raises ``ToolError`` and httpx's errors."""
    match auth:
        case None:
            return Credentials()
        case BearerAuth():
            conceal(auth.token)
            return Credentials({"Authorization": f"Bearer {auth.token}"})
        case BasicAuth():
            conceal(auth.password)
            return Credentials({"Authorization": _basic(auth.username, auth.password, conceal)})
        case ApiKeyAuth():
            conceal(auth.value)
            given = {auth.name: auth.value}
            return Credentials(given) if auth.place == "header" else Credentials(query=given)
        case ClientCredentialsAuth():
            conceal(auth.client_secret)
            token = _kept_token(auth, workspace_id) or _fetch_token(auth, workspace_id, client, conceal)
            conceal(token)
            return Credentials({"Authorization": f"Bearer {token}"})


def forget_token(auth: Auth | None, workspace_id: str) -> bool:
    """Forget a token that was refused; returns whether another one may be had."""
    if not isinstance(auth, ClientCredentialsAuth):
        return False
    with _lock:
        return _tokens.pop(_key(auth, workspace_id), None) is not None


def _basic(username: str, password: str, conceal: Callable[[str], None]) -> str:
    encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
    conceal(encoded)
    return f"Basic {encoded}"


_tokens: dict[str, tuple[float, str]] = {}
_lock = threading.Lock()


def _key(auth: ClientCredentialsAuth, workspace_id: str) -> str:
    known = json.dumps([workspace_id, auth.model_dump(mode="json")], sort_keys=True)
    return sha256(known.encode()).hexdigest()


def _kept_token(auth: ClientCredentialsAuth, workspace_id: str) -> str | None:
    with _lock:
        ends, token = _tokens.get(_key(auth, workspace_id), (0.0, ""))
        return token if time.monotonic() < ends else None


def _keep_token(auth: ClientCredentialsAuth, workspace_id: str, token: str, life_s: float) -> None:
    if life_s <= 0:
        return
    now = time.monotonic()
    with _lock:
        for key in [key for key, (ends, _) in _tokens.items() if ends <= now]:
            del _tokens[key]
        while len(_tokens) >= MAX_TOKENS:
            del _tokens[next(iter(_tokens))]
        _tokens[_key(auth, workspace_id)] = (now + life_s, token)


def _fetch_token(
    auth: ClientCredentialsAuth, workspace_id: str, client: httpx.Client, conceal: Callable[[str], None]
) -> str:
    form = {"grant_type": "client_credentials", "scope": auth.scope, "audience": auth.audience}
    headers = {"Accept": "application/json"}
    if auth.client_authentication == "basic":
        # RFC 6749, 2.3.1: both are form-encoded first.
        name, password = quote(auth.client_id, safe=""), quote(auth.client_secret, safe="")
        headers["Authorization"] = _basic(name, password, conceal)
    else:
        form |= {"client_id": auth.client_id, "client_secret": auth.client_secret}
    data = {name: value for name, value in form.items() if value is not None}
    try:
        request = client.build_request("POST", auth.token_url, data=data, headers=headers)
    except httpx.InvalidURL as error:
        raise ToolError(ErrorType.CONFIGURATION_ERROR, f"auth: tokenUrl is no URL: {error}") from None
    response = client.send(request, stream=True)
    try:
        answer = _token_answer(response)
    finally:
        response.close()
    token, kind = answer.get("access_token"), answer.get("token_type", "bearer")
    if not isinstance(token, str) or not token or not isinstance(kind, str) or kind.lower() != "bearer":
        raise ToolError(ErrorType.VALIDATION_ERROR, "auth: the token endpoint's answer holds no bearer token")
    conceal(token)
    life_s = answer.get("expires_in", DEFAULT_LIFE_S + EXPIRY_MARGIN_S)
    if isinstance(life_s, int | float):
        _keep_token(auth, workspace_id, token, min(life_s, 86_400) - EXPIRY_MARGIN_S)
    return token


def _token_answer(response: httpx.Response) -> dict[str, JsonValue]:
    content = bytearray()
    for piece in response.iter_bytes(chunk_size=8_192):
        content += piece
        if len(content) > MAX_TOKEN_ANSWER_BYTES:
            raise ToolError(ErrorType.VALIDATION_ERROR, "auth: the token endpoint's answer is too large")
    try:
        answer = load_json(bytes(content), max_bytes=MAX_TOKEN_ANSWER_BYTES)
    except JsonUnfit:
        answer = None
    known = answer if isinstance(answer, dict) else {}
    if response.status_code != httpx.codes.OK:
        reason = known.get("error")
        said = f" ({reason})" if isinstance(reason, str) else ""
        status = response.status_code
        error_type = ErrorType.AUTHORIZATION_ERROR if status < 500 else ErrorType.NETWORK_ERROR
        if status == httpx.codes.TOO_MANY_REQUESTS:
            error_type = ErrorType.RATE_LIMIT_ERROR
        raise ToolError(
            error_type, f"auth: the token endpoint answered {status}{said}", details={"status": status}
        )
    return known

"""One HTTP call of one provider, and what its failure means.

The SDK is imported with the first call: it is large, and most processes never ask a language model. It neither retries
nor follows redirects nor reads the environment; time and size are bounded here, whatever the other side does.
"""

import importlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, JsonValue, ValidationError

from workflow_service.ai.errors import UnavailableKind
from workflow_service.ai.providers import Candidate
from workflow_service.engine.json_values import storable_text

if TYPE_CHECKING:
    import openai

MAX_ANSWER_BYTES = 4 * 1024 * 1024
# Endpoints without a key want a header all the same.
NO_KEY = "none"
MESSAGE_CHARACTERS = 300
# What says that it used more does not know what it says.
MAX_TOKENS = 100_000_000
_GATEWAY_GAVE_UP = frozenset({408, 504, 524})
# A field that an endpoint may not know, the word by which its refusal names it, and what is sent in its place.
_FORMAT, _TOKENS, _TEMPERATURE = "response_format", "max_tokens", "temperature"


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked; ``schema`` is the JSON Schema of the answer, None where it may be any text."""

    messages: tuple[Mapping[str, str], ...]
    schema: JsonValue
    max_tokens: int
    temperature: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What a provider answered; the tokens are None where it does not say."""

    text: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None


class CallFailed(Exception):
    """A provider gave no answer. ``worked``: it may have done the work, and may bill it."""

    def __init__(
        self,
        message: str,
        kind: UnavailableKind,
        *,
        worked: bool,
        again: bool,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = storable_text(message, MESSAGE_CHARACTERS)
        self.kind: UnavailableKind = kind
        self.worked = worked
        self.again = again
        self.retry_after_s = retry_after_s


class _Usage(BaseModel):
    prompt_tokens: int = Field(ge=0, le=MAX_TOKENS)
    completion_tokens: int = Field(0, ge=0, le=MAX_TOKENS)


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    choices: list[_Choice]
    usage: JsonValue = None


def send(candidate: Candidate, question: Question, *, timeout_s: float) -> Reply:
    """Ask once, and return the reply; raises ``CallFailed``. It takes ``timeout_s`` at most."""
    sdk = _sdk()
    deadline = time.monotonic() + timeout_s
    unknown = _unknown_fields.get(candidate.key, frozenset())
    while True:
        try:
            reply = _ask_once(candidate, _body(candidate, question, unknown), deadline)
        except (sdk.BadRequestError, sdk.UnprocessableEntityError) as error:
            field = _field_not_known(error, unknown, question)
            if field is None:
                raise _failed(error, sdk, _key(candidate)) from None
            # The endpoint refused before it worked, so this costs nothing.
            unknown |= {field}
        except (sdk.OpenAIError, OSError) as error:
            raise _failed(error, sdk, _key(candidate)) from None
        else:
            _unknown_fields[candidate.key] = unknown
            return reply


# What an endpoint does not know it is not asked for again, by this process.
_unknown_fields: dict[tuple[str, str], frozenset[str]] = {}


def _ask_once(candidate: Candidate, body: dict[str, Any], deadline: float) -> Reply:
    left = deadline - time.monotonic()
    if left <= 0:
        raise CallFailed("no answer in time", "TIMEOUT", worked=True, again=True)
    chat = _client(candidate.provider.url, _key(candidate)).chat.completions
    content = bytearray()
    try:
        with chat.with_streaming_response.create(**body, timeout=left) as answer:
            for piece in answer.iter_bytes():
                content += piece
                if time.monotonic() > deadline:
                    raise CallFailed("no whole answer in time", "TIMEOUT", worked=True, again=True)
                if len(content) > MAX_ANSWER_BYTES:
                    raise CallFailed("the answer is too large", "REFUSED", worked=True, again=False)
    except _transport_errors() as error:
        # Outside of the SDK's own request: the answer broke off while it was read.
        kind: UnavailableKind = "TIMEOUT" if "Timeout" in type(error).__name__ else "NETWORK"
        raise CallFailed(f"the answer broke off: {error}", kind, worked=True, again=True) from None
    return _read(bytes(content))


def _read(content: bytes) -> Reply:
    try:
        completion = _Completion.model_validate(json.loads(content))
        choice = completion.choices[0]
    except (ValueError, ValidationError, IndexError, RecursionError):
        raise CallFailed("the answer is no chat completion", "NETWORK", worked=True, again=True) from None
    try:
        usage = _Usage.model_validate(completion.usage)
    except ValidationError:
        usage = None
    refused = choice.message.content is None and choice.message.refusal is not None
    return Reply(
        text=choice.message.content or "",
        finish_reason="refusal" if refused else choice.finish_reason or "",
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
    )


def _body(candidate: Candidate, question: Question, unknown: frozenset[str]) -> dict[str, Any]:
    body: dict[str, Any] = {"model": candidate.model.name, "messages": list(question.messages)}
    body["max_completion_tokens" if _TOKENS in unknown else "max_tokens"] = question.max_tokens
    if _TEMPERATURE not in unknown:
        body["temperature"] = question.temperature
    if question.schema is not None and _FORMAT not in unknown:
        # Not strict: strict mode allows a part of JSON Schema only. Answers are checked here in any case.
        schema = {"name": "answer", "schema": question.schema}
        plain = "json_schema" in unknown
        body[_FORMAT] = {"type": "json_object"} if plain else {"type": "json_schema", "json_schema": schema}
    return body


def _field_not_known(error: Any, known: frozenset[str], question: Question) -> str | None:
    """Return what the next try leaves out after a refusal, None where nothing is left that may explain it."""
    said = str(error).lower()
    if _TOKENS not in known and "max_completion_tokens" in said:
        return _TOKENS
    if _TEMPERATURE not in known and "temperature" in said:
        return _TEMPERATURE
    if question.schema is None:
        return None
    if "json_schema" not in known:
        return "json_schema"
    return _FORMAT if _FORMAT not in known else None


def _failed(error: Exception, sdk: Any, key: str) -> CallFailed:
    """Return what an error of the SDK means: whether the provider may have worked, and whether to ask again."""
    # A provider that refuses the operator's key may say it; authors of workflows read this.
    message = (str(error) or type(error).__name__).replace(key, "***" if key != NO_KEY else key)
    if isinstance(error, sdk.APITimeoutError):
        connecting = "ConnectTimeout" in type(error.__cause__).__name__
        return CallFailed("no answer in time", "TIMEOUT", worked=not connecting, again=True)
    if isinstance(error, sdk.APIConnectionError | OSError):
        unsent = type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout", "UnsupportedProtocol")
        why = f"no connection: {error.__cause__ or error}"
        return CallFailed(why, "NETWORK", worked=not unsent, again=True)
    if isinstance(error, sdk.APIStatusError):
        status = error.status_code
        wait = _retry_after_s(error.response.headers.get("retry-after"))
        if status == 429:
            return CallFailed(
                "the provider's rate limit", "RATE_LIMIT", worked=False, again=True, retry_after_s=wait
            )
        if status >= 500 or status in (408, 409):
            kind: UnavailableKind = "TIMEOUT" if status == 408 else "NETWORK"
            # A gateway that gave up says nothing of the model behind it.
            worked = status in _GATEWAY_GAVE_UP
            return CallFailed(
                f"the provider answered {status}", kind, worked=worked, again=True, retry_after_s=wait
            )
        return CallFailed(f"the provider refused ({status}): {message}", "REFUSED", worked=False, again=False)
    return CallFailed(f"the answer cannot be read: {message}", "NETWORK", worked=True, again=True)


def _retry_after_s(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which holds seconds or a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _key(candidate: Candidate) -> str:
    key = candidate.provider.api_key
    return key.get_secret_value() if key and key.get_secret_value() else NO_KEY


def _sdk() -> Any:
    return importlib.import_module("openai")


def _transport_errors() -> tuple[type[Exception], ...]:
    return (importlib.import_module("httpx2").HTTPError,)


@lru_cache(maxsize=16)
def _client(url: str, key: str) -> "openai.OpenAI":
    client: openai.OpenAI = _sdk().OpenAI(base_url=url, api_key=key, max_retries=0, http_client=_http())
    return client


@lru_cache(maxsize=1)
def _http() -> Any:
    """Return the HTTP client of this process.

    It keeps no connections: one that the other side has closed meanwhile looks like a call that may be billed, and
    processes that fork share none.
    """
    limits = importlib.import_module("httpx2").Limits(max_connections=100, max_keepalive_connections=0)
    return _sdk().DefaultHttpxClient(trust_env=False, follow_redirects=False, limits=limits)


def estimated_prompt_tokens(question: Question) -> int:
    """Return a generous estimate of the prompt's tokens.

    A token has one byte at least and, in most texts, about four: half the bytes are an estimate that the usual factor
    of two turns into a bound.
    """
    schema = "" if question.schema is None else json.dumps(question.schema, ensure_ascii=False)
    size = sum(len(text.encode("utf-8", "replace")) for text in (schema, *_texts(question.messages)))
    return size // 2 + 8 * (len(question.messages) + 1)


def _texts(messages: Sequence[Mapping[str, str]]) -> list[str]:
    return [message["content"] for message in messages]

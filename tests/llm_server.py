"""A real OpenAI-compatible HTTP server on loopback that answers by script: well, badly, slowly, or not at all.

    with llm_server([say_json({"ok": 1}), fail(429, retry_after="0.1")]) as server, asking(server): ...

Answers are taken from the script in order of arrival; then every request gets ``server.otherwise``. What is billed is
noted when an answer is about to be sent, whether or not anybody is there to read it.
"""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch

from pydantic import JsonValue

from workflow_service.ai.providers import CIRCUITS, Candidate
from workflow_service.ai.transport import CallFailed, Question, send
from workflow_service.settings.config import Config, get_config
from workflow_service.settings.llm import LlmProvider

# The tokens of a request and its answer: what is reported, and billed.
Billing = Callable[[dict[str, Any], str], tuple[int, int]]


@dataclass(frozen=True)
class Scripted:
    """One answer. ``half``: the connection ends in its middle. ``raw``: sent as the body, whatever it is."""

    text: str = "ok"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    half: bool = False
    raw: bytes | None = None
    finish_reason: str = "stop"
    tokens: tuple[int, int] | None = None
    usage: bool = True


def say(text: str, **how: Any) -> Scripted:
    """Answer with this text."""
    return Scripted(text=text, **how)


def say_json(value: JsonValue, **how: Any) -> Scripted:
    """Answer with this value as JSON."""
    return Scripted(text=json.dumps(value), **how)


def fail(status: int, message: str = "because", retry_after: str | None = None) -> Scripted:
    """Answer with an error."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Scripted(status=status, headers=headers, raw=json.dumps({"error": {"message": message}}).encode())


def slow(seconds: float, text: str = "late") -> Scripted:
    """Answer after so many seconds, or when the server stops."""
    return Scripted(text=text, delay_s=seconds)


def half_body() -> Scripted:
    """Begin an answer and hang up."""
    return Scripted(text="this is cut off", half=True)


def honest(body: dict[str, Any], text: str) -> tuple[int, int]:
    """Bill about what the texts have: a token for every four characters."""
    prompt = sum(len(message["content"]) for message in body["messages"])
    return prompt // 4 + 1, len(text) // 4 + 1


@dataclass
class LlmServer:
    """``requests`` are the bodies in order of arrival, ``bills`` what each answer cost in tokens."""

    port: int
    script: list[Scripted]
    otherwise: Scripted | Callable[[dict[str, Any]], Scripted] = field(default_factory=Scripted)
    billing: Billing = honest
    # Words of a request that it refuses with 400: json_schema, json_object, max_tokens, temperature.
    refuses: frozenset[str] = frozenset()
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bills: list[tuple[int, int]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def calls(self) -> int:
        return len(self.requests)

    def then(self, *answers: Scripted) -> None:
        """Add answers to the script."""
        with self.lock:
            self.script.extend(answers)

    def next_answer(self, body: dict[str, Any], headers: dict[str, str]) -> Scripted:
        """Note a request, and return what it is answered with."""
        with self.lock:
            self.requests.append(body)
            self.headers.append(headers)
            written = json.dumps({name: body[name] for name in body if name != "messages"})
            for word in self.refuses:
                if f'"{word}"' in written:
                    return fail(400, f"Unsupported parameter: {_NAMED.get(word, word)}")
            if self.script:
                return self.script.pop(0)
            return self.otherwise(body) if callable(self.otherwise) else self.otherwise

    def bill(self, body: dict[str, Any], answer: Scripted) -> tuple[int, int]:
        """Note what an answer costs, and return it."""
        tokens = answer.tokens or self.billing(body, answer.text)
        with self.lock:
            self.bills.append(tokens)
        return tokens


_NAMED = {"max_tokens": "'max_tokens' is not supported, use 'max_completion_tokens' instead"}


@cache
def warm_up() -> None:
    """Import what a first call imports: seconds on a busy machine, and too long for a test's open transaction."""
    nobody = LlmProvider.model_validate(
        {"name": "nobody", "url": "http://127.0.0.1:9", "models": [{"name": "m"}]}
    )
    question = Question(({"role": "user", "content": "Hello"},), None, 1, 0.0)
    with suppress(CallFailed):
        send(Candidate(nobody, nobody.models[0]), question, timeout_s=1)


@contextmanager
def llm_server(script: Sequence[Scripted] = (), **how: Any) -> Iterator[LlmServer]:
    """Serve until the block ends."""
    warm_up()
    server = _Server(("127.0.0.1", 0), _Handler)
    described = LlmServer(server.server_address[1], list(script), **how)
    server.described = described
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield described
    finally:
        described.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def asking(
    *servers: LlmServer, models: Sequence[dict[str, Any]] | None = None, **settings: Any
) -> Iterator[None]:
    """Have this process's configuration name these servers as the providers ``p1``, ``p2``, …, in order.

    ``settings`` are further settings. Retries take no time to speak of.
    """
    offered = list(models or [{"name": "m", "inputUsdPerMTok": "1", "outputUsdPerMTok": "4"}])
    providers = tuple(
        LlmProvider.model_validate({"name": f"p{n}", "url": one.url, "apiKey": f"key-{n}", "models": offered})
        for n, one in enumerate(servers, 1)
    )
    config = get_config()
    wanted = {"llm_providers": providers, "llm_service_url": None, **settings}
    before = {name: getattr(config, name) for name in wanted}
    CIRCUITS.forget()
    _set(config, wanted)
    try:
        with patch("workflow_service.ai.client.BACKOFF_S", 0.01):
            yield
    finally:
        _set(config, before)
        CIRCUITS.forget()


def _set(config: Config, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(config, name, value)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    described: LlmServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class names it)
        pass

    def do_POST(self) -> None:
        described = self.server.described  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = described.next_answer(body, headers)
        if answer.delay_s:
            described.stop.wait(answer.delay_s)
        content = answer.raw
        if content is None:
            content = _completion(body, answer, described.bill(body, answer))
        # An OSError: the client had enough.
        with suppress(OSError):
            self._send(answer, content)

    def _send(self, answer: Scripted, content: bytes) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if answer.half else content)
        if answer.half:
            self.close_connection = True


def _completion(body: dict[str, Any], answer: Scripted, tokens: tuple[int, int]) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": answer.text},
        "finish_reason": answer.finish_reason,
    }
    completion: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": body["model"],
        "choices": [choice],
    }
    if answer.usage:
        prompt, completed = tokens
        completion["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": completed,
            "total_tokens": prompt + completed,
        }
    return json.dumps(completion).encode()


__all__ = [
    "LlmServer",
    "Scripted",
    "asking",
    "fail",
    "half_body",
    "honest",
    "llm_server",
    "say",
    "say_json",
    "slow",
]

"""A State Management Service on loopback: it keeps what it is told, and can be told how to misbehave."""

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Told:
    """One message as it arrived."""

    path: str
    message_id: str
    body: dict[str, Any]
    authorization: str


@dataclass
class StateService:
    """``manners`` are what it does with the next messages: a status, or half, hang, drip, nonsense; then 200.

    ``context_manners`` are the same for the next questions after a workspace: who asked may be gone before it is heard.
    """

    port: int = 0
    told: list[Told] = field(default_factory=list)
    contexts: dict[str, Any] = field(default_factory=dict)
    manners: deque[str] = field(default_factory=deque)
    context_manners: deque[str] = field(default_factory=deque)
    stop: threading.Event = field(default_factory=threading.Event)
    requests: int = 0
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/state/"

    def come_up(self) -> None:
        """Serve, on the port it had before."""
        server = ThreadingHTTPServer(("127.0.0.1", self.port), _Handler)
        server.daemon_threads = True
        server.service = self  # type: ignore[attr-defined]
        self.port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def go_down(self) -> None:
        """Be gone: nothing listens any more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def forget(self) -> None:
        self.told.clear()
        self.manners.clear()
        self.context_manners.clear()
        self.contexts.clear()
        self.requests = 0

    def changes(self, execution_id: str) -> list[dict[str, Any]]:
        """Return the changes of a run in the order told, each message once."""
        seen: dict[str, Told] = {}
        for one in self.told:
            if one.body["execution"]["executionId"] == execution_id:
                seen.setdefault(one.message_id, one)
        return [change for one in seen.values() for change in one.body["changes"]]


@contextmanager
def state_service() -> Iterator[StateService]:
    """Serve until the block ends."""
    service = StateService()
    service.come_up()
    try:
        yield service
    finally:
        service.stop.set()
        service.go_down()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    @property
    def service(self) -> StateService:
        service: StateService = self.server.service  # type: ignore[attr-defined]
        return service

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class names it)
        pass

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"]))
        self.close_connection = True
        self.service.requests += 1
        manner = self.service.manners.popleft() if self.service.manners else "200"
        if manner in ("200", "half", "drip", "409"):
            told = Told(
                self.path,
                self.headers["Idempotency-Key"],
                json.loads(text),
                self.headers.get("Authorization", ""),
            )
            self.service.told.append(told)
        self._answer(manner, b"{}")

    def do_GET(self) -> None:
        self.close_connection = True
        self.service.requests += 1
        manner = self.service.context_manners.popleft() if self.service.context_manners else "200"
        workspace_id = self.path.split("/")[-2]
        known = self.service.contexts.get(workspace_id)
        if manner == "200" and known is None:
            manner = "404"
        self._answer(manner, json.dumps(known).encode())

    def _answer(self, manner: str, content: bytes) -> None:
        with suppress(OSError):
            match manner:
                case "hang":
                    self.service.stop.wait(5)
                    return
                case "half":
                    self._head(200, 100)
                    self.wfile.write(content)
                case "drip":
                    self._head(200, 10_000)
                    for _ in range(100):
                        self.wfile.write(b" ")
                        self.wfile.flush()
                        time.sleep(0.02)
                case "nonsense":
                    self.wfile.write(b"this is no HTTP\r\n\r\n")
                case _:
                    status, _, retry_after = manner.partition(" ")
                    extra = {"Retry-After": retry_after} if retry_after else {}
                    self._head(int(status), len(content), **extra)
                    self.wfile.write(content)

    def _head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

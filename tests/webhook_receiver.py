"""A service on loopback that is told things by signed webhooks, and can be told how to answer."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Heard:
    """One message as it arrived."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """``answers`` are the statuses of the next requests, ``hang`` for none at all; then 200. ``on_message`` is called
    before an answer is given.
    """

    port: int
    heard: list[Heard] = field(default_factory=list)
    answers: deque[str] = field(default_factory=deque)
    stop: threading.Event = field(default_factory=threading.Event)
    on_message: Callable[[], object] | None = None

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def ids(self) -> list[str]:
        return [one.headers["webhook-id"] for one in self.heard]


@contextmanager
def webhook_receiver() -> Iterator[Receiver]:
    """Serve until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    described = Receiver(server.server_address[1])
    server.described = described  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield described
    finally:
        described.stop.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class names it)
        pass

    def do_POST(self) -> None:
        described: Receiver = self.server.described  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.close_connection = True
        headers = {name.lower(): value for name, value in self.headers.items()}
        described.heard.append(Heard(headers, body))
        if described.on_message is not None:
            described.on_message()
        answer = described.answers.popleft() if described.answers else "200"
        with suppress(OSError):
            if answer == "hang":
                described.stop.wait(5)
                return
            status, _, extra = answer.partition(" ")
            self.send_response(int(status))
            self.send_header("Content-Length", "0")
            if extra:
                self.send_header("Location" if extra.startswith("http") else "Retry-After", extra)
            self.end_headers()

"""The other side of every connection of the matrix: a real HTTP server that does to each case what its row says.

A case is a row under one policy. Its addresses lie below ``/CASE/``: ``main`` is where the fault is, ``other`` works,
as does what belongs to no work (an agent's ``health``). What is done to the world is counted for each case.
"""

import http.client
import json
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.chaos.fault_matrix.rows import Row

SILENT_S = 15.0
# What is asked of an agent beside work.
BESIDE_WORK = frozenset({"health", "capabilities"})
# Faults after which the work was done; all others happen in its place.
DONE_FIRST = frozenset({"lost", "late", "done_500", "done_kill", "accepted"})
# Where the model is that misleads, and what it says in turn: whatever harms most, in the form that is asked for or not.
ADVISER = "adviser"
SURE = {"reasoning": "It will work now.", "confidence": 100, "parameters": {"backoff_seconds": 0}}
MISLEADING = (
    json.dumps({"strategy": "retry", **SURE}),
    json.dumps({"strategy": "skip", **SURE}),
    "Certainly! Just do it again, as often as you like.",
    json.dumps({"strategy": "pay_twice", **SURE}),
)
# Brought about elsewhere: who comes here is served.
NOT_HERE = frozenset({"refuse", "disabled"})
# Told to the use case, which does it to itself.
TOLD = {"kill": "kill", "done_kill": "kill", "declined": "declined", "forbidden": "forbidden", "bug": "bug"}


@dataclass
class Wire:
    """By case: ``tries`` counts requests for work at ``main``, ``effects`` what was done, ``faults`` what failed."""

    port: int
    mcp_port: int | None = None
    mcp_key: str = ""
    rows: dict[str, Row] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    effects: Counter[str] = field(default_factory=Counter)
    asked_at: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    keys: set[tuple[str, str]] = field(default_factory=set)
    advised: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, case: str, path: str = "main") -> str:
        return f"http://127.0.0.1:{self.port}/{case}/{path}"

    def meet(self, case: str, key: str) -> tuple[Row, bool]:
        """Note a request for work; return its row and whether this one meets the fault."""
        with self.lock:
            row = self.rows[case]
            self.tries[case] += 1
            self.asked_at[case].append(time.monotonic())
            faulty = row.fault not in NOT_HERE and (row.times is None or self.tries[case] <= row.times)
            if faulty:
                self.faults[case] += 1
            if row.work != "read" and (not faulty or row.fault in DONE_FIRST):
                self._do(row, case, key)
            return row, faulty

    def do_elsewhere(self, case: str) -> None:
        """Note that another one was asked to do the work, and did."""
        with self.lock:
            if self.rows[case].work != "read":
                self.effects[case] += 1

    def _do(self, row: Row, case: str, key: str) -> None:
        if row.wire.get("keys") and (case, key) in self.keys:
            return
        self.keys.add((case, key))
        self.effects[case] += 1


@contextmanager
def serving(mcp_port: int | None = None, mcp_key: str = "") -> Iterator[Wire]:
    """Serve until the block ends."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.wire = Wire(server.server_address[1], mcp_port, mcp_key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.wire
    finally:
        server.wire.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def late_listener(wire: Wire, case: str, after_s: float) -> Iterator[int]:
    """Hold a port at which nobody listens for ``after_s`` seconds; then what is sent there goes to the wire."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        ended = threading.Event()

        def listen() -> None:
            if ended.wait(after_s):
                return
            held.listen(8)
            held.settimeout(0.1)
            while not ended.is_set():
                with suppress(TimeoutError):
                    client, _ = held.accept()
                    threading.Thread(target=_answer_once, args=(wire, case, client), daemon=True).start()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield held.getsockname()[1]
        finally:
            ended.set()
            thread.join()


def _answer_once(wire: Wire, case: str, client: socket.socket) -> None:
    with client, suppress(OSError):
        client.settimeout(5)
        client.recv(65_536)
        wire.meet(case, "")
        body = json.dumps({"done": True}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        client.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    wire: Wire


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    @property
    def wire(self) -> Wire:
        wire: Wire = self.server.wire  # type: ignore[attr-defined]
        return wire

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class names it)
        pass

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.close_connection = True
        case, _, path = urlsplit(self.path).path.strip("/").partition("/")
        # An OSError: the client had enough.
        with suppress(OSError):
            self._answer(case, path, body)

    do_GET = do_POST = do_DELETE = do_any  # noqa: N815

    def _answer(self, case: str, path: str, body: bytes) -> None:
        wire = self.wire
        place, _, asked = path.partition("/")
        if case == ADVISER:
            wire.advised += 1
            self.send(200, _completion(MISLEADING[wire.advised % len(MISLEADING)]))
        elif asked in BESIDE_WORK:
            self.send(200, {"status": "healthy", "capabilities": []})
        elif place == "other":
            wire.do_elsewhere(case)
            self.send(200, self._good(case, body))
        elif place == "mcp" and self.command != "POST":
            self._forward(body)
        else:
            row, faulty = wire.meet(case, self.headers.get("Idempotency-Key") or "")
            if faulty:
                getattr(self, f"do_{row.fault}")(row, case, body)
            elif place == "mcp":
                self._forward(body)
            else:
                self.send(200, self._good(case, body))

    def _good(self, case: str, body: bytes) -> Any:
        match self.wire.rows[case].agent:
            case "REMOTE":
                return {"executionId": "r1", "status": "COMPLETED", "output": {"done": True}}
            case "LLM":
                return _completion('{"word": "done"}')
            case _:
                return {"done": True}

    def send(self, status: int, value: Any, **headers: str) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(content)

    # -- faults, by the name that a row's wire gives them

    def do_hang_up(self, row: Row, case: str, body: bytes) -> None:
        pass

    do_lost = do_hang_up

    def do_silent(self, row: Row, case: str, body: bytes) -> None:
        self.wire.stop.wait(SILENT_S)

    do_late = do_silent

    def do_half(self, row: Row, case: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"done": tr')

    def do_status(self, row: Row, case: str, body: bytes) -> None:
        after = row.wire.get("retry_after")
        headers = {} if after is None else {"Retry_After": str(after)}
        self.send(int(row.wire["status"]), {"error": {"message": "because"}}, **headers)

    def do_done_500(self, row: Row, case: str, body: bytes) -> None:
        self.send(500, {"error": "because"})

    def do_garbled(self, row: Row, case: str, body: bytes) -> None:
        self.send(200, b'{"done": tru\xff')

    def do_wrong_shape(self, row: Row, case: str, body: bytes) -> None:
        self.send(200, {"finished": "perhaps"})

    def do_endless(self, row: Row, case: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not self.wire.stop.is_set():
            self.wfile.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")

    def do_told(self, row: Row, case: str, body: bytes) -> None:
        self.send(200, {"then": TOLD[row.fault]})

    do_kill = do_done_kill = do_declined = do_forbidden = do_bug = do_told

    def do_says(self, row: Row, case: str, body: bytes) -> None:
        error = {"type": row.wire["error"], "message": "it cannot be done", "retryable": False}
        self.send(200, {"status": "FAILED", "error": error})

    def do_accepted(self, row: Row, case: str, body: bytes) -> None:
        self.send(202, {"executionId": "r1", "status": "STARTED"})

    def do_chatter(self, row: Row, case: str, body: bytes) -> None:
        self.send(200, _completion("Certainly! I would say that it is done."))

    def do_refusal(self, row: Row, case: str, body: bytes) -> None:
        self.send(200, _completion("", finish_reason="content_filter"))

    def do_tool(self, row: Row, case: str, body: bytes) -> None:
        # The failure is the tool's own: the real server makes it.
        self._forward(body)

    def _forward(self, body: bytes) -> None:
        """Hand a request to the real MCP server, and its answer back."""
        port = self.wire.mcp_port
        if port is None:
            raise LookupError("there is no MCP server behind this wire")
        dropped = {"host", "connection", "content-length", "authorization"}
        headers = {name: text for name, text in self.headers.items() if name.lower() not in dropped}
        upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            headers["Authorization"] = f"Bearer {self.wire.mcp_key}"
            upstream.request(self.command, "/mcp", body or None, headers)
            answer = upstream.getresponse()
            self.send_response(answer.status)
            for name, text in answer.getheaders():
                if name.lower() not in (
                    "transfer-encoding",
                    "connection",
                    "content-length",
                    "date",
                    "server",
                ):
                    self.send_header(name, text)
            self.send_header("Connection", "close")
            self.end_headers()
            while piece := answer.read1(65_536):
                self.wfile.write(piece)
                self.wfile.flush()
        finally:
            upstream.close()


def _completion(text: str, finish_reason: str = "stop") -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30},
    }

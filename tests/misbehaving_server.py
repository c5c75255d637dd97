"""A real HTTP server on loopback that does what servers should not, by path."""

import base64
import gzip
import json
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class MisbehavingServer:
    """``stop`` is set when the server is to give up being slow; ``requests`` are in order of arrival."""

    port: int
    requests: list[Seen] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@contextmanager
def misbehaving_server(address: str = "127.0.0.1") -> Iterator[MisbehavingServer]:
    """Serve until the block ends."""
    server = ThreadingHTTPServer((address, 0), _Handler)
    server.daemon_threads = True
    described = MisbehavingServer(server.server_address[1])
    server.described = described  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield described
    finally:
        described.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    @property
    def described(self) -> MisbehavingServer:
        described: MisbehavingServer = self.server.described  # type: ignore[attr-defined]
        return described

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class names it)
        pass

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.described.requests.append(Seen(self.command, self.path, headers, body))
        self.close_connection = True
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        name, _, argument = parts.path.strip("/").partition("/")
        # An OSError: the client had enough.
        with suppress(OSError):
            getattr(self, f"answer_{name.replace('-', '_')}")(unquote(argument), query)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_any  # noqa: N815

    def send(
        self, status: int, content: bytes, content_type: str = "application/json", **headers: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def answer_json(self, argument: str, query: dict[str, str]) -> None:
        self.send(200, json.dumps({"items": [{"id": 1}, {"id": 2}], "query": query}).encode(), X_Trace="t1")

    def answer_echo(self, argument: str, query: dict[str, str]) -> None:
        """Say everything that was sent, as servers do that help too much."""
        seen = self.described.requests[-1]
        said = {"target": seen.target, "headers": seen.headers, "body": seen.body.decode("utf-8", "replace")}
        self.send(int(argument or 200), json.dumps(said).encode(), X_Echo=seen.target)

    def answer_token(self, argument: str, query: dict[str, str]) -> None:
        """Give a token of OAuth 2 to ``shop`` with the password ``p/w 1``, another one each time."""
        seen = self.described.requests[-1]
        form = {name: values[0] for name, values in parse_qs(seen.body.decode()).items()}
        basic = base64.b64encode(b"shop:p%2Fw%201").decode()
        in_body = (form.get("client_id"), form.get("client_secret")) == ("shop", "p/w 1")
        if seen.headers.get("authorization") != f"Basic {basic}" and not in_body:
            self.send(401, b'{"error": "invalid_client"}')
            return
        count = sum(request.target.startswith("/token") for request in self.described.requests)
        answer = {"access_token": f"issued-token-{count}", "token_type": "Bearer", "expires_in": 3600}
        answer |= json.loads(query.get("with", "{}"))
        self.send(200, json.dumps(answer).encode())

    def answer_guarded(self, argument: str, query: dict[str, str]) -> None:
        """Answer who bears the token of that name; any other is refused."""
        given = self.described.requests[-1].headers.get("authorization")
        if given == f"Bearer {argument}":
            self.send(200, json.dumps({"sent": given}).encode())
        else:
            self.send(401, b"{}")

    def answer_pages(self, argument: str, query: dict[str, str]) -> None:
        """Give the numbers 0 to 24 in pages, as ``argument`` says: page, offset, cursor, link or next."""
        size = int(query.get("size") or query.get("limit") or 10)
        begin = {
            "page": (int(query.get("page", 1)) - 1) * size,
            "offset": int(query.get("offset", 0)),
        }.get(argument, int(query.get("cursor", 0)))
        end = min(begin + size, 25)
        headers = {}
        body: dict[str, Any] = {"items": list(range(begin, end)), "next": None}
        if end < 25:
            following = f"/pages/{argument}?cursor={end}"
            if argument == "link":
                headers["Link"] = f'<{following}>; rel="next", </first>; rel="first"'
            body["next"] = following if argument == "next" else str(end)
        self.send(200, json.dumps(body).encode(), **headers)

    def answer_busy(self, argument: str, query: dict[str, str]) -> None:
        """Refuse every second request for ``Retry-After`` seconds, and else give pages."""
        if len(self.described.requests) % 2 == 0:
            self.send(429, b"{}", Retry_After=argument)
        else:
            self.answer_pages("page", query)

    def answer_circle(self, argument: str, query: dict[str, str]) -> None:
        self.send(200, b'{"items": [1], "next": "/circle"}')

    def answer_raw(self, argument: str, query: dict[str, str]) -> None:
        self.send(200, query.get("body", "").encode("latin-1"), query.get("type", "application/json"))

    def answer_status(self, argument: str, query: dict[str, str]) -> None:
        headers = {"Retry_After": query["retry"]} if "retry" in query else {}
        self.send(int(argument), b'{"error": "because"}' if int(argument) >= 300 else b"{}", **headers)

    def answer_redirect(self, argument: str, query: dict[str, str]) -> None:
        self.send(int(argument or 302), b"", Location=query["to"])

    def answer_loop(self, argument: str, query: dict[str, str]) -> None:
        self.send(302, b"", Location=f"/loop/{int(argument or 0) + 1}")

    def answer_silent(self, argument: str, query: dict[str, str]) -> None:
        self.described.stop.wait(20)

    def answer_drip_headers(self, argument: str, query: dict[str, str]) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(1_000):
            self.wfile.write(f"X-{number}: 1\r\n".encode())
            if self.described.stop.wait(0.05):
                return

    def answer_drip_body(self, argument: str, query: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        for _ in range(1_000):
            self.wfile.write(b"x")
            if self.described.stop.wait(0.05):
                return

    def answer_half(self, argument: str, query: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"rows": [1, 2')

    def answer_hang_up(self, argument: str, query: dict[str, str]) -> None:
        pass

    def answer_nonsense(self, argument: str, query: dict[str, str]) -> None:
        self.wfile.write(b"I am no HTTP server\r\n\r\n")

    def answer_endless(self, argument: str, query: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not self.described.stop.is_set():
            self.wfile.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")

    def answer_bomb(self, argument: str, query: dict[str, str]) -> None:
        # Made piece by piece, so that a test can watch the memory of this process.
        compressor = zlib.compressobj(9, wbits=31)
        pieces = [compressor.compress(bytes(1_000_000)) for _ in range(int(argument))]
        bomb = b"".join([*pieces, compressor.flush()])
        self.send(200, bomb, "text/plain", Content_Encoding="gzip")

    def answer_encoded(self, argument: str, query: dict[str, str]) -> None:
        content = b'{"a": 1}'
        encoded = {
            "gzip": gzip.compress(content),
            "two-members": gzip.compress(content[:3]) + gzip.compress(content[3:]),
            "deflate": zlib.compress(content),
            "broken": b"this is not gzip",
            "half": gzip.compress(content)[:-6],
            "br": content,
        }[argument]
        coding = argument if argument in ("deflate", "br") else "gzip"
        self.send(200, encoded, Content_Encoding=coding)

    def answer_agent(self, argument: str, query: dict[str, str]) -> None:
        """Play an agent, ``/agent/MANNER/execute`` and so on, or an Agent Service, ``/agent/MANNER/agents``."""
        manner, _, asked = argument.partition("/")
        said: Any = {
            "execute": {"executionId": "r1", "status": "COMPLETED", "output": {"by": manner}},
            "health": {"status": "healthy", "message": "fine"},
            "capabilities": {"capabilities": ["verse", {"name": "add", "inputSchema": {"type": "object"}}]},
            "agents": {
                "agents": [{"agentId": "far", "toolTypes": ["script", "magic"], "capabilities": ["verse"]}]
            },
        }.get(asked.rpartition("/")[2], {})
        match manner:
            case "slow":
                self.described.stop.wait(20)
            case "broken":
                self.send(500, b"{}")
            case "busy":
                self.send(429, b"{}", Retry_After="7")
            case "half":
                self.answer_half(argument, query)
            case "nonsense":
                self.send(200, b"{this is no JSON")
            case "gone":
                self.send(404, b"{}")
            case "endless":
                self.answer_endless(argument, query)
            case "list":
                self.send(200, b"[1, 2]")
            case "odd":
                self.send(200, b'{"status": "PERHAPS", "agents": [{"agentId": "../x"}], "capabilities": 7}')
            case "failed":
                error = {"type": "VALIDATION_ERROR", "message": "no such verse", "retryable": False}
                self.send(200, json.dumps({"status": "FAILED", "error": error}).encode())
            case "liar":
                # Only the engine may say such a thing.
                self.send(
                    200, b'{"status": "FAILED", "error": {"type": "APPROVAL_REJECTED", "message": "no"}}'
                )
            case "sick":
                self.send(200, b'{"status": "DOWN", "message": "out of memory"}')
            case "later":
                self.send(202, b'{"executionId": "r1", "status": "STARTED"}')
            case "begun":
                self.send(200, b'{"executionId": "r1", "status": "STARTED"}')
            case _:
                self.send(200, json.dumps(said).encode())

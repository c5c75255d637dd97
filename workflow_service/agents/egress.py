"""The guard on requests that leave the service: no address is reached that ``egress_rules`` do not allow.

The check sits where the connection is made. A host name is resolved once per connection, every address it
leads to must pass, and the socket goes to one of those checked addresses, so that neither a redirect nor a
name server that changes its answer leads elsewhere; Host and SNI stay those of the URL. Everything a
connection does ends at one deadline. Proxies of the environment are never used.
"""

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from typing import Any

import httpcore
import httpx

from workflow_service.agents.egress_rules import Address, AllowedHost, EgressRefused, check_url, is_public

# Host and port to the addresses they lead to, as text; raises OSError.
Resolver = Callable[[str, int], Sequence[str]]

CONNECT_TIMEOUT_S = 10.0


def resolve_by_system(host: str, port: int) -> list[str]:
    """Return the addresses that the system's resolver knows for ``host``; raises ``OSError``."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


@dataclass(frozen=True, slots=True)
class Egress:
    """Where requests may go, and until when. ``deadline`` is on ``time.monotonic``'s clock, in seconds."""

    allowed: tuple[AllowedHost, ...]
    deadline: float
    resolve: Resolver = resolve_by_system

    def remaining_s(self) -> float:
        """Return the seconds left; raises ``TimeoutError`` where there are none."""
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining

    def addresses(self, host: str, port: int) -> list[Address]:
        """Resolve ``host`` and return its addresses, all of them checked; raises ``EgressRefused``."""
        addresses = [ip_address(text) for text in self._resolved(host, port)]
        name = host.rstrip(".").lower()
        for address in addresses:
            if not is_public(address) and not any(
                entry.covers(name, address, port) for entry in self.allowed
            ):
                # The address itself is not told: it may be news to the author of a workflow.
                raise EgressRefused(
                    f"'{host}' leads to an address that is not public; "
                    "an operator can open it to workflows with EGRESS_ALLOW"
                )
        return addresses

    def _resolved(self, host: str, port: int) -> Sequence[str]:
        # The system's resolver takes no timeout. A thread left behind by one that hangs ends when it does.
        outcome: list[Sequence[str] | OSError] = []

        def resolve() -> None:
            try:
                outcome.append(self.resolve(host, port))
            except (OSError, UnicodeError) as error:
                outcome.append(OSError(f"cannot resolve '{host}': {error}"))

        thread = threading.Thread(target=resolve, name="resolve", daemon=True)
        thread.start()
        thread.join(self.remaining_s())
        if not outcome:
            raise TimeoutError
        if isinstance(outcome[0], OSError):
            raise outcome[0]
        return outcome[0]


class GuardedTransport(httpx.BaseTransport):
    """An httpx transport whose every connection goes through an ``Egress``."""

    def __init__(self, egress: Egress) -> None:
        # A connection for each request: one that is kept may be closed by the other side just when it is used again,
        # and a request that fails so cannot always be sent a second time.
        self._pool = httpcore.ConnectionPool(
            ssl_context=_ssl_context(),
            network_backend=_GuardedBackend(egress),
            max_keepalive_connections=0,
            http1=True,
            http2=False,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        check_url(request.url)
        url = request.url
        inner = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
        )
        with _as_httpx_errors():
            response = self._pool.handle_request(inner)
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Stream(response.stream),
            extensions=response.extensions,
        )

    def close(self) -> None:
        self._pool.close()


class _Stream(httpx.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx_errors():
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


class _GuardedBackend(httpcore.NetworkBackend):
    """Connects to checked addresses only, and bounds everything by the deadline."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = self._egress.addresses(host, port)
            return _DeadlineStream(self._connect(addresses, port), self._egress)
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"no connection to '{host}' in time") from None
        except OSError as error:
            raise httpcore.ConnectError(f"no connection to '{host}': {error.strerror or error}") from None

    def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        raise EgressRefused("local sockets are not allowed")

    def _connect(self, addresses: Sequence[Address], port: int) -> socket.socket:
        failure = OSError("the name has no address")
        for address in addresses:
            patience = min(CONNECT_TIMEOUT_S, self._egress.remaining_s())
            try:
                connection = socket.create_connection((str(address), port), patience)
            except OSError as error:
                failure = error
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        raise failure


class _DeadlineStream(httpcore.NetworkStream):
    """A stream each of whose operations ends at the deadline, however often the other side begins anew."""

    def __init__(self, connection: socket.socket, egress: Egress) -> None:
        self._socket = connection
        self._egress = egress

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _as_httpcore_errors(httpcore.ReadTimeout, httpcore.ReadError):
            self._socket.settimeout(self._egress.remaining_s())
            return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        unsent = memoryview(buffer)
        with _as_httpcore_errors(httpcore.WriteTimeout, httpcore.WriteError):
            while unsent:
                self._socket.settimeout(self._egress.remaining_s())
                unsent = unsent[self._socket.send(unsent) :]

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        with _as_httpcore_errors(httpcore.ConnectTimeout, httpcore.ConnectError):
            try:
                self._socket.settimeout(self._egress.remaining_s())
                secured = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
            except BaseException:
                self.close()
                raise
        return _DeadlineStream(secured, self._egress)

    def get_extra_info(self, info: str) -> Any:
        # What httpcore asks before it uses an idle connection again: bytes, or an end, that nobody waits for.
        if info == "is_readable":
            return bool(select.select([self._socket], [], [], 0)[0])
        return None


@contextmanager
def _as_httpcore_errors(late: type[Exception], broken: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise late("no time is left") from None
    except OSError as error:
        raise broken(str(error)) from error


@contextmanager
def _as_httpx_errors() -> Iterator[None]:
    # httpx has an exception of the same name for each of httpcore's.
    try:
        yield
    except _HTTPCORE_ERRORS as error:
        raise getattr(httpx, type(error).__name__, httpx.TransportError)(str(error)) from error


_HTTPCORE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


@cache
def _ssl_context() -> ssl.SSLContext:
    return httpx.create_ssl_context()

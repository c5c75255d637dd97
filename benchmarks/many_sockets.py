"""Many WebSocket clients in one process, as cheap as they can be: what they cost is in every time they measure.

Each notes when bytes came and reads them later. They are the same for the service and for the floor.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

CONNECT_AT_ONCE = 20
READ_AFTER_S = 0.2
TIMEOUT_S = 60.0

Message = dict[str, Any]
Arrival = tuple[float, Message]


class SocketLost(RuntimeError):
    """A socket was refused or closed, or something did not come by it in time."""


class Listener(asyncio.Protocol):
    """One client, open once ``opened`` is done, until ``closed``."""

    def __init__(self, address: str, ticket: str | None) -> None:
        offered = None if ticket is None else [Subprotocol(f"ticket.{ticket}")]
        origin = None if ticket else "http://" + address.split("/")[2]
        self._client = ClientProtocol(parse_uri(address), subprotocols=offered, origin=origin)  # type: ignore[arg-type]
        self._unread: list[tuple[float, bytes]] = []
        self._arrivals: list[Arrival] = []
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._client.send_request(self._client.connect())
        self._flush()

    @property
    def arrivals(self) -> list[Arrival]:
        """The messages that came, oldest first, each with the time (``time.time``) at which it came."""
        self._read()
        return self._arrivals

    def data_received(self, data: bytes) -> None:
        # Read later: what this client does now keeps the next one waiting.
        self._unread.append((time.time(), data))
        if not self.opened.done():
            self._read()
        elif len(self._unread) == 1:
            asyncio.get_running_loop().call_later(READ_AFTER_S, self._read)

    def _read(self) -> None:
        unread, self._unread = self._unread, []
        for came_at, data in unread:
            self._client.receive_data(data)
            for event in self._client.events_received():
                if not isinstance(event, Frame):
                    self._open()
                elif event.opcode is Opcode.TEXT:
                    self._arrivals.append((came_at, json.loads(event.data)))
                elif event.opcode is Opcode.CLOSE:
                    self.closed = True
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._open()

    def drop(self) -> None:
        """Go away as a client does whose network is gone: without a word."""
        self._transport.abort()

    def _open(self) -> None:
        if self.opened.done():
            return
        if self._client.handshake_exc is not None or self.closed:
            self.opened.set_exception(SocketLost(f"a socket was refused: {self._client.handshake_exc}"))
        else:
            self.opened.set_result(None)

    def _flush(self) -> None:
        for data in self._client.data_to_send():
            if data:
                self._transport.write(data)


async def open_many(addresses: Sequence[str], tickets: Sequence[str | None]) -> list[Listener]:
    """Open a socket for each address, a few at once; raises ``SocketLost`` if one is refused."""
    gate = asyncio.Semaphore(CONNECT_AT_ONCE)

    async def open_one(address: str, ticket: str | None) -> Listener:
        host, port = address.split("/")[2].rsplit(":", 1)
        async with gate, asyncio.timeout(TIMEOUT_S):
            loop = asyncio.get_running_loop()
            _, listener = await loop.create_connection(lambda: Listener(address, ticket), host, int(port))
            await listener.opened
        return listener

    return list(await asyncio.gather(*map(open_one, addresses, tickets)))


async def wait_until(done: Callable[[], bool], what: str) -> None:
    """Wait until ``done``; raises ``SocketLost`` saying ``what`` did not happen."""
    deadline = time.monotonic() + TIMEOUT_S
    while not done():
        if time.monotonic() > deadline:
            raise SocketLost(f"not in {TIMEOUT_S:.0f} s: {what}")
        await asyncio.sleep(0.02)

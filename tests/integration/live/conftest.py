"""People and the sockets that they open.

pytest reads this file before Django is set up: what imports models is imported by the fixtures.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from channels.layers import channel_layers
from django.db import connections

if TYPE_CHECKING:
    from tests.people import People
    from tests.sockets import SocketClient
    from workflow_service.accounts.models import User


@pytest.fixture(autouse=True)
def threads_give_connections_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the web process: a thread gives its connection back after each read."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)


@pytest.fixture(autouse=True)
def own_layer() -> Iterator[None]:
    """Give each test a channel layer of its own: a layer's lock stays with the event loop that waited for it."""
    channel_layers.backends.clear()
    yield
    channel_layers.backends.clear()


@pytest.fixture
def people(transactional_db: None) -> "People":
    from tests.people import make_people

    return make_people()


@pytest.fixture
async def sockets() -> AsyncIterator[Callable[..., "SocketClient"]]:
    """Make sockets; those left open are closed after the test."""
    from tests.sockets import HOST, ORIGIN, SocketClient, session_of
    from workflow_service.routing import websocket_application

    made: list[SocketClient] = []

    def make(path: str, user: "User | None" = None, **options: Any) -> SocketClient:
        headers = options.pop("headers", [ORIGIN, HOST])
        if user is not None:
            headers = [*headers, (b"cookie", f"sessionid={session_of(user)}".encode())]
        socket = SocketClient(websocket_application, path, headers=headers, **options)
        made.append(socket)
        return socket

    yield make
    for socket in made:
        await socket.disconnect()
    for reader in [thread for thread in threading.enumerate() if thread.name.startswith("live-feed")]:
        await asyncio.to_thread(reader.join, 30)

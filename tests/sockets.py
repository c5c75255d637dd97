"""A WebSocket client that talks to an ASGI application in the test's own event loop."""

import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from django.test import Client

from workflow_service.accounts.models import User

Headers = Sequence[tuple[bytes, bytes]]
ORIGIN = (b"origin", b"http://localhost")
HOST = (b"host", b"localhost")


# asgiref has no types for it.
Communicator: Any = ApplicationCommunicator


class SocketClient:
    """One WebSocket: ``connect``, then ``messages``; ``close_code`` where the server is to end it."""

    def __init__(
        self, application: Any, address: str, *, headers: Headers = (), subprotocols: Sequence[str] = ()
    ) -> None:
        parts = urlsplit(address)
        scope = {
            "type": "websocket",
            "path": parts.path,
            "query_string": quote(parts.query, safe="=&").encode(),
            "headers": list(headers),
            "subprotocols": list(subprotocols),
        }
        self._application = Communicator(application, scope)

    async def connect(self) -> dict[str, Any] | None:
        """Open the socket and return the server's ``accept``; None where it refused."""
        await self._application.send_input({"type": "websocket.connect"})
        answer: dict[str, Any] = await self._application.receive_output(timeout=30)
        return answer if answer["type"] == "websocket.accept" else None

    async def messages(self, count: int) -> list[dict[str, Any]]:
        """Return the next messages, each read from JSON."""
        return [
            json.loads((await self._application.receive_output(timeout=30))["text"]) for _ in range(count)
        ]

    async def close_code(self) -> int:
        """Return the code with which the server ends the open socket."""
        answer = await self._application.receive_output(timeout=30)
        assert answer["type"] == "websocket.close", answer
        return int(answer["code"])

    async def hears_nothing(self, *, seconds: float) -> bool:
        """Return whether the server is silent for so long."""
        return bool(await self._application.receive_nothing(timeout=seconds))

    async def disconnect(self) -> None:
        """Go away, as a client does, and wait until the server has noticed."""
        await self._application.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._application.wait(timeout=30)


_sessions: dict[int, str] = {}


def sign_in(*users: User) -> None:
    """Begin a session for each of the users."""
    for user in users:
        client = Client()
        client.force_login(user)
        _sessions[user.pk] = client.cookies["sessionid"].value


def session_of(user: User) -> str:
    """Return the session that ``sign_in`` began."""
    return _sessions[user.pk]


async def in_database(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call a function in a thread that may ask the database."""
    return await database_sync_to_async(function)(*arguments, **named)


async def refusal_of(socket: SocketClient) -> int:
    """Return the code with which a socket is closed at once: only an accepted socket can carry one."""
    assert await socket.connect() is not None
    return await socket.close_code()

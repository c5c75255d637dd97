"""Sockets that replay what is written down and then follow it.

Everything a client is sent is read from Postgres, by number, from the number it gives. A Channels message is
a hint that there may be more; hints that come while a page is being sent are one hint. Without any the socket
looks every few seconds, so a lost hint costs time, never an event. What a slow client has not taken stays in
Postgres, not in memory; one that takes nothing at all is told to come back and closed. Who follows what many
follow does not read for itself: ``live_feed``.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from django.db import DatabaseError
from redis.exceptions import RedisError

from workflow_service.accounts.models import User
from workflow_service.accounts.sockets import chosen_subprotocol, list_living_sessions
from workflow_service.accounts.tickets import find_holder
from workflow_service.engine.definition import JsonObject
from workflow_service.listeners import LISTENING_S, note_listener

logger = logging.getLogger(__name__)

BAD_REQUEST = 4400
UNAUTHENTICATED = 4401
FORBIDDEN = 4403
NOT_FOUND = 4404
TOO_SLOW = 4408
BROKEN = 1011

# A Redis that lost what it held has forgotten who is in a group.
JOIN_AGAIN_S = 60.0
LISTEN_AGAIN_S = 5.0

Position = Any
Positioned = tuple[Position, JsonObject]


class Refused(Exception):
    """The user may not follow this; ``code`` closes the socket."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class TooSlow(Exception):
    """The client took nothing for too long."""


class LiveConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """A socket that sends and does not listen: who is there, from where they go on, and how they are sent something.

    A subclass says in ``follow`` what is sent. A position is the number of ``?after=N`` (0 if not given) unless
    ``start`` makes more of the query.
    """

    # Who follows listens for themselves (``listen``): a consumer that Channels listens for ends when Redis goes.
    channel_layer_alias = "none"
    page_size: ClassVar[int] = 200
    send_timeout_s: ClassVar[float] = 10.0

    async def follow(self, user: User, after: Position) -> None:
        """Send what comes after ``after`` for as long as the socket is open; raises ``Refused``."""
        raise NotImplementedError

    def start(self) -> Position:
        """Return where the client wants to begin; raises ``Refused``."""
        return self.number("after")

    async def connect(self) -> None:
        self._following: asyncio.Task[None] | None = None
        # Accepted first: only an accepted socket can carry a close code.
        await self.accept(subprotocol=chosen_subprotocol(self.scope))
        try:
            user, after = self._user(), self.start()
        except Refused as refusal:
            await self.close(code=refusal.code)
            return
        self._following = asyncio.create_task(self._follow(user, after))

    async def disconnect(self, code: int) -> None:
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Ignore what the client says: there is nothing to ask for."""

    def _user(self) -> User:
        # The session's user is a lazy object, which shows the class of what it holds.
        user = self.scope.get("user")
        if not isinstance(user, User) or not user.is_active:
            raise Refused(UNAUTHENTICATED)
        if (session := self.scope.get("session")) is not None:
            user.session = session.session_key
        return user

    def number(self, parameter: str, default: str = "0") -> int:
        """Return a number that the client gives in the query; raises ``Refused``."""
        given = self.query.get(parameter, [default])[-1]
        if not (given.isascii() and given.isdigit() and len(given) <= 18):
            raise Refused(BAD_REQUEST)
        return int(given)

    @property
    def query(self) -> dict[str, list[str]]:
        """The parameters of the address."""
        return parse_qs(self.scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)

    async def _follow(self, user: User, after: Position) -> None:
        try:
            await self.follow(user, after)
        except Refused as refusal:
            await self.close(code=refusal.code)
        except TooSlow:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._resync(), timeout=1.0)
        except OSError:
            logger.debug("a socket is gone")
        except Exception:
            # Whoever comes back is better off than whoever waits for what nobody sends.
            logger.exception("a socket cannot be followed")
            await self.close(code=BROKEN)

    async def send_in_time(self, text: str) -> None:
        """Send a message; a client that does not take it in time is sent away."""
        try:
            async with asyncio.timeout(self.send_timeout_s):
                await self.send(text_data=text)
        except TimeoutError:
            raise TooSlow from None

    async def _resync(self) -> None:
        await self.send(text_data=json.dumps({"type": "resync"}))
        await self.close(code=TOO_SLOW)


class FollowingConsumer(LiveConsumer):
    """Sends what comes after the position that the client gives, oldest first, and goes on as it is written.

    A subclass says in ``admit`` whether the user may follow and which Channels groups bring hints, and in
    ``read`` what comes after a position, each message with the position that it leads to. Both are called in a
    thread. ``admit`` is asked again while the socket is open: who loses the right loses the socket.
    """

    poll_s: ClassVar[float] = 5.0
    admit_every_s: ClassVar[float] = 30.0
    look_again_s: float | None = None
    """Set by ``read`` where more is known to come sooner than by the next hint."""

    def admit(self, user: User) -> Sequence[str]:
        """Return the groups that bring hints; raises ``Refused``."""
        raise NotImplementedError

    def read(self, user: User, after: Position, limit: int) -> Sequence[Positioned]:
        """Return messages after ``after``, in order: ``limit`` of them or more where there may be others."""
        raise NotImplementedError

    async def follow(self, user: User, after: Position) -> None:
        self._hinted = asyncio.Event()
        self._listened_to = list(await in_thread(self.admit)(user))
        listening = asyncio.create_task(listen(self._listened_to, self._hinted.set))
        try:
            await self._send_what_comes(user, after)
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening

    async def _send_what_comes(self, user: User, after: Position) -> None:
        await self._say_that_it_listens()
        clock = asyncio.get_running_loop().time
        admitted_at = listening_at = clock()
        while True:
            self._hinted.clear()
            if clock() - listening_at >= LISTENING_S / 3:
                await self._say_that_it_listens()
                listening_at = clock()
            full = False
            try:
                if clock() - admitted_at >= self.admit_every_s:
                    await in_thread(self._admit_again)(user)
                    admitted_at = clock()
                page = await in_thread(self.read)(user, after, self.page_size)
                full = len(page) >= self.page_size
                for position, message in page:
                    await self.send_in_time(json.dumps(message))
                    after = position
            except DatabaseError as error:
                logger.warning("a socket cannot read what to send and will try again: %s", error)
            if not full:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._hinted.wait(), timeout=self.look_again_s or self.poll_s)

    async def _say_that_it_listens(self) -> None:
        try:
            await asyncio.to_thread(note_listener, self._listened_to)
        except (RedisError, OSError) as error:
            logger.warning("a socket cannot say that it listens, and looks by itself: %s", error)

    def _admit_again(self, user: User) -> None:
        fresh = find_holder(user.pk, user.acting_key.pk if user.acting_key else None)
        if fresh is None or (user.session and user.session not in list_living_sessions([user])):
            raise Refused(UNAUTHENTICATED)
        self.admit(fresh)


async def listen(groups: Collection[str], heard: Callable[[], object]) -> None:
    """Call ``heard`` whenever one of the groups may have been told something, for as long as the task lasts.

    While Redis is away nothing is heard, and afterwards it goes on by itself: whoever follows looks without it.
    """
    layer = get_channel_layer()
    channel = await layer.new_channel()
    try:
        while True:
            try:
                for group in groups:
                    await layer.group_add(group, channel)
                # What was told before that was not heard.
                heard()
                async with asyncio.timeout(JOIN_AGAIN_S):
                    while True:
                        await layer.receive(channel)
                        heard()
            except (RedisError, OSError) as error:
                if not isinstance(error, TimeoutError):
                    logger.warning("hints for sockets cannot be heard, who waits looks by itself: %s", error)
                    await asyncio.sleep(LISTEN_AGAIN_S)
    finally:
        with contextlib.suppress(RedisError, OSError):
            async with asyncio.timeout(LISTEN_AGAIN_S):
                for group in groups:
                    await layer.group_discard(group, channel)


def in_thread(function: Any) -> Any:
    """Run a database read in a thread of the pool: sockets must not queue up behind one another."""
    return database_sync_to_async(function, thread_sensitive=False)

"""What many sockets of a process follow is read once, by one reader, and kept for a while for all of them.

Each socket knows its position and nothing else. What it lacks comes from the pages that the reader remembers, or from
Postgres where those do not reach back far enough or were read before the socket was there; so there is no gap
between what was and what comes, and nothing is sent twice. Each page says for every follower what of it is theirs:
who may see what is asked whenever something is read, for all at once, and never remembered for the next page.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.db import DatabaseError
from redis.exceptions import RedisError

from workflow_service.accounts.models import User
from workflow_service.live import LiveConsumer, Refused, in_thread

logger = logging.getLogger(__name__)

# Channels forgets after a day who is in a group.
JOIN_AGAIN_S = 3_600.0

Texts = Sequence[tuple[int, str]]
"""Messages in order, each with the number of its event."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found behind a position: all of it up to and with ``upto``, and for each user what they are sent.

    ``full`` says that there may be more. A user who may follow nothing has a refusal instead.
    """

    upto: int
    full: bool
    texts: Sequence[Texts | Refused]


class Source(Protocol):
    """Where the events are, numbered in the order in which they are committed. Both are called in a thread."""

    group: str
    """The Channels group that brings hints."""

    def newest(self) -> int:
        """Return the number of the last event there is, 0 if there is none."""

    def read(self, after: int, limit: int, users: Sequence[User]) -> Reading:
        """Return what comes after ``after``, as these users may see it now."""


@dataclass(eq=False, slots=True)
class Follower:
    """One open socket. ``refusal`` ends it."""

    user: User
    news: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: Refused | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What the reader found after ``after``, up to and with ``upto``, for everybody who was there."""

    after: int
    upto: int
    texts: dict[Follower, Texts]


class SharedFeed:
    """One reader and its followers, in one event loop; it reads for as long as there are any."""

    page_size: ClassVar[int] = 200
    pages_kept: ClassVar[int] = 50
    poll_s: ClassVar[float] = 5.0

    def __init__(self, source: Source) -> None:
        self._source = source
        self._followers: set[Follower] = set()
        self._pages: deque[Page] = deque(maxlen=self.pages_kept)
        self._position: int | None = None
        self._hinted = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        # A thread of its own: a thousand sockets that come back at once must not hold up those that are there.
        self._thread: ThreadPoolExecutor | None = None

    @contextlib.contextmanager
    def joined(self, user: User) -> Iterator[Follower]:
        """Follow for as long as the context lasts; the first one starts the reader, the last one stops it."""
        follower = Follower(user)
        self._followers.add(follower)
        if len(self._followers) == 1:
            self._start()
        try:
            yield follower
        finally:
            self._followers.discard(follower)
            for page in self._pages:
                page.texts.pop(follower, None)
            if not self._followers:
                self._stop()

    async def messages(self, follower: Follower, after: int) -> AsyncGenerator[str, None]:
        """Give what comes after ``after``, and what is new from then on; raises ``Refused``."""
        # Of who has just come nothing is remembered: the first page is read, and with it whether they may follow.
        behind = True
        while True:
            follower.news.clear()
            if follower.refusal is not None:
                raise follower.refusal
            texts: Texts
            if behind:
                after, texts, behind = await self._replay(follower.user, after)
            elif (page := self._page_after(after)) is not None:
                behind = page.after > after or follower not in page.texts
                if behind:
                    continue
                # Who has just read for themselves may have read further than the page begins.
                after, texts = page.upto, [text for text in page.texts[follower] if text[0] > after]
            else:
                await follower.news.wait()
                continue
            for _, text in texts:
                yield text

    def _page_after(self, after: int) -> Page | None:
        found = None
        for page in reversed(self._pages):
            if page.upto <= after:
                break
            found = page
        return found

    async def _replay(self, user: User, after: int) -> tuple[int, Texts, bool]:
        """Return what Postgres has after a position, the new position, and whether there may be more."""
        # What the reader has found by now is committed: if it is for this user, it comes with this reading.
        found = self._position or 0
        try:
            reading = await in_thread(self._source.read)(after, self.page_size, [user])
        except DatabaseError as error:
            logger.warning("a socket cannot read what to send and will try again: %s", error)
            await asyncio.sleep(self.poll_s)
            return after, (), True
        (texts,) = reading.texts
        if isinstance(texts, Refused):
            raise texts
        return (reading.upto if reading.full else max(reading.upto, found)), texts, reading.full

    def _start(self) -> None:
        self._position = None
        self._pages.clear()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live-feed")
        self._tasks = (asyncio.create_task(self._read_for_ever()), asyncio.create_task(self._listen()))

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    async def _read_for_ever(self) -> None:
        while True:
            self._hinted.clear()
            full = False
            try:
                full = await self._read_on()
            except DatabaseError as error:
                logger.warning("news for sockets cannot be read and will be tried again: %s", error)
            except Exception:
                # Sockets wait for it without a time limit of their own.
                logger.exception("news for sockets could not be read")
            if not full:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hinted.wait(), timeout=self.poll_s)

    async def _read_on(self) -> bool:
        """Read what is new for those who are there, and tell them; say whether there may be more."""
        if self._position is None:
            self._position = await self._in_own_thread(self._source.newest)
        after, followers = self._position, list(self._followers)
        users = [follower.user for follower in followers]
        reading: Reading = await self._in_own_thread(self._source.read, after, self.page_size, users)
        texts: dict[Follower, Texts] = {}
        for follower, found in zip(followers, reading.texts, strict=True):
            if isinstance(found, Refused):
                follower.refusal = found
                follower.news.set()
            elif follower in self._followers:
                texts[follower] = found
        if reading.upto > after:
            self._position = reading.upto
            self._pages.append(Page(after, reading.upto, texts))
            for follower in self._followers:
                follower.news.set()
        return reading.full

    async def _in_own_thread(self, function: Any, *arguments: Any) -> Any:
        return await database_sync_to_async(function, thread_sensitive=False, executor=self._thread)(
            *arguments
        )

    async def _listen(self) -> None:
        """Have the reader look whenever the group is told something; while Redis is away it looks by itself."""
        layer = get_channel_layer()
        channel = await layer.new_channel()
        try:
            while True:
                try:
                    await layer.group_add(self._source.group, channel)
                    self._hinted.set()
                    async with asyncio.timeout(JOIN_AGAIN_S):
                        while True:
                            await layer.receive(channel)
                            self._hinted.set()
                except (RedisError, OSError) as error:
                    if not isinstance(error, TimeoutError):
                        logger.warning(
                            "hints for sockets cannot be heard, who waits looks by itself: %s", error
                        )
                        await asyncio.sleep(self.poll_s)
        finally:
            with contextlib.suppress(RedisError, OSError):
                await layer.group_discard(self._source.group, channel)


class FeedConsumer(LiveConsumer):
    """A socket that is sent what a feed has for its user after the position that the client gives."""

    # The feed listens for all: with a channel for each socket a hint would be a message for each socket.
    channel_layer_alias = "none"
    source: ClassVar[Source]

    async def follow(self, user: User, after: int) -> None:
        feed = _feed_of(self.source)
        with feed.joined(user) as follower:
            async with contextlib.aclosing(feed.messages(follower, after)) as messages:
                async for text in messages:
                    await self.send_in_time(text)


_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Source, SharedFeed]] = WeakKeyDictionary()


def _feed_of(source: Source) -> SharedFeed:
    """Return the feed of this event loop, of which a process that serves sockets has one."""
    here = _feeds.setdefault(asyncio.get_running_loop(), {})
    return here.setdefault(source, SharedFeed(source))

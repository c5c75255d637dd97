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
from django.db import DatabaseError

from workflow_service.accounts.models import User
from workflow_service.live import LiveConsumer, Refused, TooSlow, in_thread, listen

logger = logging.getLogger(__name__)

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
    """One open socket. ``refusal`` ends it, as ``limit`` does once it has been sending since too long ago."""

    user: User
    news: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: Refused | None = None
    sending_since: float | None = None
    limit: asyncio.Timeout = field(default_factory=lambda: asyncio.timeout(None))


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
    send_timeout_s: ClassVar[float] = 10.0

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
        duties = (
            self._read_for_ever(),
            listen([self._source.group], self._hinted.set),
            self._send_the_slow_away(),
        )
        self._tasks = tuple(asyncio.create_task(duty) for duty in duties)

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

    async def _send_the_slow_away(self) -> None:
        """End those who take nothing: one watch for all, for a timer for each message costs as much as to send it."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self.send_timeout_s / 10)
            begun_before = clock() - self.send_timeout_s
            for follower in self._followers:
                if follower.sending_since is not None and follower.sending_since < begun_before:
                    follower.sending_since = None
                    follower.limit.reschedule(begun_before)

    async def _in_own_thread(self, function: Any, *arguments: Any) -> Any:
        return await database_sync_to_async(function, thread_sensitive=False, executor=self._thread)(
            *arguments
        )


class FeedConsumer(LiveConsumer):
    """A socket that is sent what a feed has for its user after the position that the client gives."""

    source: ClassVar[Source]

    async def follow(self, user: User, after: int) -> None:
        feed = _feed_of(self.source)
        clock = asyncio.get_running_loop().time
        with feed.joined(user) as follower:
            try:
                async with follower.limit, contextlib.aclosing(feed.messages(follower, after)) as messages:
                    async for text in messages:
                        follower.sending_since = clock()
                        await self.send(text_data=text)
                        follower.sending_since = None
            except TimeoutError:
                raise TooSlow from None


_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Source, SharedFeed]] = WeakKeyDictionary()


def _feed_of(source: Source) -> SharedFeed:
    """Return the feed of this event loop, of which a process that serves sockets has one."""
    here = _feeds.setdefault(asyncio.get_running_loop(), {})
    return here.setdefault(source, SharedFeed(source))

"""One reader for many sockets: whoever joins when, nobody misses anything, gets anything twice or waits for others."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import aclosing

import pytest
from channels.layers import get_channel_layer
from django.db import OperationalError
from redis.exceptions import ConnectionError as RedisGone

from workflow_service import live
from workflow_service.accounts.models import User
from workflow_service.live import FORBIDDEN, Refused
from workflow_service.live_feed import Reading, SharedFeed

GROUP = "feed.of.a.test"


class Numbers:
    """A source without a database: event N is for every user whose id divides it, the text is N."""

    group = GROUP

    def __init__(self) -> None:
        self.events: list[int] = []
        self.refused: set[int] = set()
        self.readings: list[int] = []
        self.fails = 0

    def write(self, *numbers: int) -> None:
        self.events += numbers

    def newest(self) -> int:
        return self.events[-1] if self.events else 0

    def read(self, after: int, limit: int, users: Sequence[User]) -> Reading:
        self.readings.append(len(users))
        if self.fails:
            self.fails -= 1
            raise OperationalError("the database is away")
        found = [number for number in self.events if number > after][:limit]
        return Reading(
            found[-1] if found else after,
            len(found) == limit,
            [
                Refused(FORBIDDEN)
                if user.pk in self.refused
                else [(number, str(number)) for number in found if number % user.pk == 0]
                for user in users
            ],
        )


@pytest.fixture
def source() -> Numbers:
    return Numbers()


@pytest.fixture
def feed(source: Numbers, monkeypatch: pytest.MonkeyPatch) -> SharedFeed:
    monkeypatch.setattr(SharedFeed, "poll_s", 0.02)
    return SharedFeed(source)


async def follow(
    feed: SharedFeed, user_id: int, after: int, count: int, pause: Callable[[], float]
) -> list[int]:
    """Return the next ``count`` events of a user, taken as slowly as ``pause`` says."""
    came: list[int] = []
    with feed.joined(User(pk=user_id)) as follower:
        async with aclosing(feed.messages(follower, after)) as messages:
            async for text in messages:
                came.append(int(text))
                if len(came) == count:
                    break
                await asyncio.sleep(pause())
    return came


def at_once() -> float:
    return 0.0


@pytest.mark.parametrize("seed", range(3))
async def test_whoever_comes_when_gets_everything_once(
    source: Numbers, feed: SharedFeed, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(SharedFeed, "page_size", 3)
    chance = random.Random(seed)
    # As few pages as that are outrun by who is slow.
    feed._pages = type(feed._pages)(maxlen=2)
    last = 240
    followers = []

    async def write() -> None:
        for number in range(1, last + 1):
            source.write(number)
            if chance.random() < 0.3:
                feed._hinted.set()
            if chance.random() < 0.1:
                source.fails = chance.choice([0, 0, 1])
            await asyncio.sleep(chance.choice([0, 0, 0.001]))

    writing = asyncio.create_task(write())
    for _ in range(25):
        user, after = chance.choice([1, 2, 3, 7]), chance.randrange(0, 120)
        pause = chance.choice([at_once, lambda: chance.random() / 200])
        expected = [number for number in range(after + 1, last + 1) if number % user == 0]
        task = asyncio.create_task(follow(feed, user, after, len(expected), pause))
        followers.append((task, expected))
        await asyncio.sleep(chance.choice([0, 0.005]))
    await writing
    for task, expected in followers:
        assert await asyncio.wait_for(task, timeout=20) == expected


async def test_what_is_new_is_read_once_for_all(source: Numbers, feed: SharedFeed) -> None:
    tasks = [asyncio.create_task(follow(feed, 1, 0, 1, at_once)) for _ in range(50)]
    await until(lambda: source.readings.count(1) == 50 and 50 in source.readings)
    source.readings.clear()
    source.write(1)
    assert await asyncio.gather(*tasks) == [[1]] * 50
    # Nobody read for himself.
    assert 1 not in source.readings


async def test_a_slow_follower_holds_up_nobody(source: Numbers, feed: SharedFeed) -> None:
    stuck = asyncio.create_task(follow(feed, 1, 0, 2, lambda: 60.0))
    quick = asyncio.create_task(follow(feed, 1, 0, 100, at_once))
    source.write(*range(1, 101))
    assert await asyncio.wait_for(quick, timeout=30) == list(range(1, 101))
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)


async def test_who_loses_the_right_is_told_so_though_nothing_is_new(
    source: Numbers, feed: SharedFeed
) -> None:
    task = asyncio.create_task(follow(feed, 2, 0, 1, at_once))
    stays = asyncio.create_task(follow(feed, 3, 0, 1, at_once))
    await until(lambda: 2 in source.readings)
    source.refused.add(2)
    with pytest.raises(Refused):
        await asyncio.wait_for(task, timeout=30)
    source.write(6)
    assert await asyncio.wait_for(stays, timeout=30) == [6]


async def test_while_the_database_is_away_everybody_waits_and_then_goes_on(
    source: Numbers, feed: SharedFeed
) -> None:
    source.fails = 4
    task = asyncio.create_task(follow(feed, 1, 0, 2, at_once))
    source.write(1, 2)
    assert await asyncio.wait_for(task, timeout=30) == [1, 2]


async def test_a_hint_wakes_the_reader_and_no_hint_costs_only_time(
    source: Numbers, feed: SharedFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SharedFeed, "poll_s", 60.0)
    task = asyncio.create_task(follow(feed, 1, 0, 1, at_once))
    await until(lambda: len(source.readings) >= 2)
    await until_heard(feed)
    source.write(1)
    await get_channel_layer().group_send(GROUP, {"type": "hint"})
    assert await asyncio.wait_for(task, timeout=30) == [1]


async def test_while_redis_is_away_the_reader_looks_by_itself_and_listens_again(
    source: Numbers, feed: SharedFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LISTEN_AGAIN_S", 0.02)
    layer = get_channel_layer()
    receive, lost = layer.receive, asyncio.Event()

    async def fail(channel: str) -> dict[str, object]:
        if not lost.is_set():
            lost.set()
            raise RedisGone("away")
        heard: dict[str, object] = await receive(channel)
        return heard

    monkeypatch.setattr(layer, "receive", fail)
    task = asyncio.create_task(follow(feed, 1, 0, 2, at_once))
    await asyncio.wait_for(lost.wait(), timeout=30)
    source.write(1)
    monkeypatch.setattr(SharedFeed, "poll_s", 60.0)
    await until_heard(feed)
    source.write(2)
    await get_channel_layer().group_send(GROUP, {"type": "hint"})
    assert await asyncio.wait_for(task, timeout=30) == [1, 2]


async def test_the_reader_lives_as_long_as_somebody_follows(source: Numbers, feed: SharedFeed) -> None:
    source.write(1)
    assert await follow(feed, 1, 0, 1, at_once) == [1]
    await until(lambda: all(task.done() for task in feed._tasks))
    source.write(2)
    assert await follow(feed, 1, 1, 1, at_once) == [2]


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not done():
            await asyncio.sleep(0.005)


async def until_heard(feed: SharedFeed) -> None:
    """Wait until the feed is in its group: a hint for nobody sets nothing."""
    layer = get_channel_layer()
    connection = layer.connection(layer.consistent_hash(GROUP))
    async with asyncio.timeout(30):
        while not await connection.zcard(layer._group_key(GROUP)):
            await asyncio.sleep(0.01)

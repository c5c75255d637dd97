"""500 people watch the approvals, one decides: how long until each of the others is told, and whether all are.

A tenth of them loses the connection on the way and comes back with the last number it had. Beside it, in the same
run: a bare Channels consumer in a web process of its own, told by ``group_send``, followed by the same clients.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime

import httpx
from channels.layers import get_channel_layer
from django.db import connection

from approvals_app.models import Approval, ApprovalEvent
from benchmarks import engine
from benchmarks.bare_channels import GROUP
from benchmarks.bench import Bench
from benchmarks.figures import Figure, percentile
from benchmarks.many_sockets import Listener, SocketLost, open_many, wait_until
from benchmarks.scenarios.api import authorization
from workflow_service.accounts.models import Membership, Role, User
from workflow_service.accounts.tickets import issue_ticket
from workflow_service.embedded import ports
from workflow_service.embedded.readiness import wait_for

SOCKETS = 500
DROP_EVERY = 10
TICKETS_AT_ONCE = 50
PAUSE_S = 0.25
ASK_TIMEOUT_S = 60.0
QUESTION = {"required": True, "message": "May the rows be loaded?"}


def measure(bench: Bench) -> Iterator[Figure]:
    """Answer one approval after the other while 500 sockets are open; then tell as many bare ones as often."""
    bench.stack.start_web()
    decisions = bench.scale(20, 8)
    watchers = _make_watchers()
    asked = _ask(decisions)
    headers = authorization()
    bench.say(f"{decisions} approvals wait; opening {SOCKETS} sockets")
    ours, missed = asyncio.run(_decide(bench.stack.base_url, headers, watchers, asked))
    bench.say(f"{len(ours)} messages came; now to bare Channels")
    floor = asyncio.run(_bare(bench, decisions))
    where = f"{SOCKETS} sockets, {decisions} decisions"
    for percent in (50, 95, 99):
        yield Figure(
            f"approval_sockets.p{percent}_ms",
            percentile(ours, percent),
            where,
            f"{percentile(floor, percent):.1f} ms by group_send",
            at_most=100.0 if percent == 95 else None,
        )
        yield Figure(f"approval_sockets.floor_p{percent}_ms", percentile(floor, percent))
    yield Figure(
        "approval_sockets.missed", missed, "messages that did not come, came twice or astray", at_most=0
    )


def _make_watchers() -> list[User]:
    """Make the people who watch: all of them approvers of the one workspace, so that each is told of everything."""
    workspace = engine.owner().workspaces.get()
    names = [f"watcher{number}" for number in range(SOCKETS)]
    users = User.objects.bulk_create(User(username=name) for name in names)
    Membership.objects.bulk_create(
        Membership(workspace=workspace, user=user, role=Role.APPROVER) for user in users
    )
    return users


def _ask(count: int) -> list[str]:
    """Start runs that ask people, wait until all have; returns the ids of the approvals."""
    template = engine.make_template(
        "asks", [{"blockId": "load", "toolType": "NOOP", "humanInLoop": QUESTION}]
    )
    runs = [engine.start(template).pk for _ in range(count)]
    waiting = Approval.objects.filter(execution__in=runs, status="PENDING")
    if not wait_for(lambda: waiting.count() == count, ASK_TIMEOUT_S, 0.05):
        raise engine.NotCompleted(f"only {waiting.count()} of {count} runs have asked")
    return list(waiting.values_list("public_id", flat=True))


async def _decide(
    base_url: str, headers: dict[str, str], watchers: Sequence[User], asked: Sequence[str]
) -> tuple[list[float], int]:
    """Answer the approvals; returns milliseconds from each answer's fact to each client, and how many went astray."""
    begin = await asyncio.to_thread(_newest_event)
    crowd = await _open(base_url, watchers, [begin] * SOCKETS)
    heard: list[list[Listener]] = [[listener] for listener in crowd]
    async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=30.0) as client:
        await client.get("/health/live")
        for number, approval_id in enumerate(asked):
            if number == len(asked) // 2:
                again = list(range(0, SOCKETS, DROP_EVERY))
                for index in again:
                    crowd[index].drop()
            answer = await client.post(f"/api/v1/approvals/{approval_id}/respond", json={"approved": True})
            answer.raise_for_status()
            await asyncio.sleep(PAUSE_S)
            if number == len(asked) // 2 + 1:
                after = [_last(heard[index], begin) for index in again]
                for index, listener in zip(
                    again, await _open(base_url, [watchers[i] for i in again], after), strict=True
                ):
                    crowd[index] = listener
                    heard[index].append(listener)
    end = await asyncio.to_thread(_newest_event)
    await wait_until(
        lambda: all(_last(parts, begin) >= end for parts in heard), f"every socket is told of event {end}"
    )
    expected = await asyncio.to_thread(_events_after, begin)
    missed = sum(_astray([m["id"] for part in parts for _, m in part.arrivals], expected) for parts in heard)
    whole = [parts[0] for parts in heard if len(parts) == 1]
    if any(listener.closed for listener in whole):
        raise SocketLost("a socket was closed that nobody closed")
    delays = [
        (came_at - datetime.fromisoformat(message["timestamp"]).timestamp()) * 1_000
        for listener in whole
        for came_at, message in listener.arrivals
        if message["type"] == "approval_responded"
    ]
    for listener in crowd:
        listener.drop()
    return delays, missed


async def _open(base_url: str, users: Sequence[User], after: Sequence[int]) -> list[Listener]:
    address = f"ws{base_url[4:]}/ws/approvals"
    opened: list[Listener] = []
    # A ticket lives for half a minute: not all at first.
    for begun in range(0, len(users), TICKETS_AT_ONCE):
        chunk = slice(begun, begun + TICKETS_AT_ONCE)
        tickets = [await asyncio.to_thread(issue_ticket, user) for user in users[chunk]]
        opened += await open_many([f"{address}?after={number}" for number in after[chunk]], tickets)
    return opened


def _last(parts: Sequence[Listener], begin: int) -> int:
    return max((message["id"] for part in parts for _, message in part.arrivals[-1:]), default=begin)


def _astray(came: list[int], expected: list[int]) -> int:
    """Return how many messages are missing, came twice or out of order."""
    if came == expected:
        return 0
    return max(1, len(set(expected) ^ set(came)) + len(came) - len(set(came)))


def _newest_event() -> int:
    newest = ApprovalEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
    connection.close()
    return newest


def _events_after(event_id: int) -> list[int]:
    found = list(ApprovalEvent.objects.filter(id__gt=event_id).order_by("id").values_list("id", flat=True))
    connection.close()
    return found


async def _bare(bench: Bench, times: int) -> list[float]:
    """Tell a group of bare sockets; returns milliseconds from before ``group_send`` to each client."""
    port = ports.find_free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.bare_channels:application", "--port", str(port)]
    with bench.stack.running(
        "bare-channels", [*command, "--no-access-log", "--ws-per-message-deflate", "false"]
    ):
        await wait_until(lambda: ports.answers(port), "bare Channels listens")
        crowd = await open_many([f"ws://{ports.LOOPBACK}:{port}/"] * SOCKETS, [None] * SOCKETS)
        layer = get_channel_layer()
        text = {"type": "approval_responded", "data": {"message": QUESTION["message"], "pad": "x" * 400}}
        for number in range(times):
            told = json.dumps({**text, "id": number, "at": time.time()})
            await layer.group_send(GROUP, {"type": "bare.news", "text": told})
            await asyncio.sleep(PAUSE_S)
        await wait_until(
            lambda: all(len(listener.arrivals) == times for listener in crowd), "every bare socket is told"
        )
        for listener in crowd:
            listener.drop()
    return [(came_at - message["at"]) * 1_000 for listener in crowd for came_at, message in listener.arrivals]

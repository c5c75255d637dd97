"""Under load: from an event to a WebSocket client, and how long a finished block takes to be written down."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import httpx
import websockets
from django.db import connection

from benchmarks import engine
from benchmarks.bench import Bench
from benchmarks.figures import Figure, percentile
from benchmarks.load import background
from benchmarks.scenarios.api import authorization
from executions_app.claiming import claim_block
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution
from executions_app.worker_identity import register_lease
from templates_app.models import Template
from workflow_service.engine.states import BlockStatus

FOLLOWERS = 10
STEPS = 50
TIMEOUT_S = 60.0


def measure(bench: Bench) -> Iterator[Figure]:
    """Measure both while the workers are kept busy."""
    bench.stack.start_web()
    seconds = bench.scale(20, 6)
    template = engine.chain(STEPS)
    with background(bench):
        delays = asyncio.run(_follow(bench.stack.base_url, authorization(), template.public_id, seconds))
        bench.say(f"{len(delays)} events came by socket")
        updates = _state_updates(bench.scale(10, 3))
    yield Figure(
        "ws_p95_ms", percentile(delays, 95), f"{len(delays)} events, {FOLLOWERS} sockets", at_most=100.0
    )
    yield Figure("ws_p50_ms", percentile(delays, 50))
    yield Figure("ws_p99_ms", percentile(delays, 99))
    yield Figure("state_update_p95_ms", percentile(updates, 95), f"{len(updates)} blocks", at_most=50.0)
    yield Figure("state_update_p50_ms", percentile(updates, 50))


async def _follow(base_url: str, headers: dict[str, str], template_id: str, seconds: float) -> list[float]:
    ends = time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=TIMEOUT_S) as client:
        followed = await asyncio.gather(*(_follower(client, template_id, ends) for _ in range(FOLLOWERS)))
    delays = [delay for part in followed for delay in part]
    if not delays:
        raise engine.NotCompleted("no event came by socket while it was open")
    return delays


async def _follower(client: httpx.AsyncClient, template_id: str, ends: float) -> list[float]:
    """Start runs one after the other, follow each to its end; returns milliseconds from event to arrival.

    The event's time is when its fact was written, before the commit: what is measured is a little too long. Events
    from before the socket was open are not counted.
    """
    delays: list[float] = []
    while time.monotonic() < ends:
        started = (
            await client.post("/api/v1/executions", json={"templateId": template_id, "input": {}})
        ).raise_for_status()
        ticket = (await client.post("/api/v1/ws-tickets")).raise_for_status().json()["ticket"]
        address = f"ws{str(client.base_url)[4:].rstrip('/')}/ws/executions/{started.json()['executionId']}"
        async with (
            asyncio.timeout(TIMEOUT_S),
            websockets.connect(
                address, subprotocols=[websockets.Subprotocol(f"ticket.{ticket}")], compression=None
            ) as socket,
        ):
            opened_at = datetime.now(UTC)
            async for text in socket:
                arrived_at = datetime.now(UTC)
                event = json.loads(text)
                happened_at = datetime.fromisoformat(event["timestamp"])
                if happened_at > opened_at:
                    delays.append((arrived_at - happened_at).total_seconds() * 1_000)
                if event["type"] == "execution_completed":
                    break
    return delays


def _state_updates(runs: int) -> list[float]:
    """Finish blocks in this process as a worker does; returns milliseconds from result to committed next claim.

    The runs' queue is one that no worker takes from.
    """
    template = engine.chain(STEPS)
    took: list[float] = []
    for _ in range(runs):
        worker = uuid4()
        register_lease(worker)
        took += _finish_run(template, worker)
    connection.close()
    return took


def _finish_run(template: Template, worker: UUID) -> list[float]:
    execution = engine.start(template, engine.HIGH)
    (first,) = BlockExecution.objects.filter(execution=execution).values_list("pk", flat=True)
    claim = claim_block(execution.pk, first, worker).claim
    took = []
    while claim is not None:
        begun = time.perf_counter()
        result = Result(BlockStatus.COMPLETED, output={"done": True})
        aftermath = finish_block(claim, result, continue_as=(worker, "high"))
        took.append((time.perf_counter() - begun) * 1_000)
        claim = aftermath.claim
    engine.wait_for_all([execution.pk], 1.0)
    return took

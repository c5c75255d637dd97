"""Latencies of the API under load: the status of a run, the list of runs, the life of a template."""

import time
from collections.abc import Callable, Iterator

import httpx

from benchmarks import engine
from benchmarks.bench import Bench
from benchmarks.figures import Figure, percentile
from benchmarks.load import background
from workflow_service.accounts.tokens import issue_tokens

TIMEOUT_S = 30.0
RUNS_FOR = 10
DIAMOND = [
    {"blockId": "split", "toolType": "NOOP"},
    *({"blockId": f"part{n}", "toolType": "NOOP", "dependencies": ["split"]} for n in range(5)),
    {"blockId": "join", "toolType": "NOOP", "dependencies": [f"part{n}" for n in range(5)]},
]


def authorization() -> dict[str, str]:
    """Return the header that says who asks."""
    return {"Authorization": f"Bearer {issue_tokens(engine.owner()).access}"}


def measure(bench: Bench) -> Iterator[Figure]:
    """Ask one thing after the other while the workers are kept busy."""
    bench.stack.start_web()
    count = bench.scale(300, 60)
    with (
        background(bench),
        httpx.Client(base_url=bench.stack.base_url, headers=authorization(), timeout=TIMEOUT_S) as client,
    ):
        for _ in range(20):
            _list(client)
        measured = {
            "status": _statuses(client, count),
            "list": [_timed(lambda: _list(client)) for _ in range(count)],
            "template_crud": _template_lives(client, count // 4),
        }
    for name, took in measured.items():
        for percent in (50, 95, 99):
            at_most = 200.0 if (name, percent) == ("status", 95) else None
            yield Figure(
                f"{name}_p{percent}_ms", percentile(took, percent), f"{len(took)} requests", at_most=at_most
            )


def _statuses(client: httpx.Client, count: int) -> list[float]:
    """Ask for runs that are under way or just ended; whose each is asked for a few times."""
    took: list[float] = []
    while len(took) < count:
        newest = [run["executionId"] for run in _list(client)[:RUNS_FOR]]
        took += [_timed(lambda run=run: _get(client, f"/api/v1/executions/{run}")) for run in newest]  # type: ignore[misc]
    return took


def _template_lives(client: httpx.Client, count: int) -> list[float]:
    took: list[float] = []
    for number in range(count):
        body = {"name": f"Benchmark {number}", "blocks": DIAMOND}
        begun = time.perf_counter()
        made = client.post("/api/v1/templates", json=body).raise_for_status()
        took.append((time.perf_counter() - begun) * 1_000)
        address = f"/api/v1/templates/{made.json()['templateId']}"
        took.append(_timed(lambda address=address: _get(client, address)))  # type: ignore[misc]
        changed = {"name": f"Benchmark {number} changed", "blocks": DIAMOND[:1]}
        took.append(
            _timed(lambda a=address, c=changed: client.put(a, json=c).raise_for_status())  # type: ignore[misc]
        )
        took.append(_timed(lambda address=address: client.delete(address).raise_for_status()))  # type: ignore[misc]
    return took


def _list(client: httpx.Client) -> list[dict[str, str]]:
    found: list[dict[str, str]] = _get(client, "/api/v1/executions").json()["executions"]
    return found


def _get(client: httpx.Client, path: str) -> httpx.Response:
    return client.get(path).raise_for_status()


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1_000

"""A thousand questions wait: how long the inbox takes, by page and API, and how long from a click to the next block."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from approvals_app.models import Approval
from benchmarks import engine
from benchmarks.bench import Bench
from benchmarks.figures import Figure, percentile
from benchmarks.scenarios.api import authorization
from executions_app.models import BlockExecution
from workflow_service.accounts.models import Membership, Role, User
from workflow_service.embedded.readiness import wait_for

RUNS, A_RUN = 10, 100
ASK_TIMEOUT_S = 120.0
START_TIMEOUT_S = 30.0
PAGES = {
    "landing": "/admin/",
    "page": "/admin/approvals_app/approval/",
    "api": "/api/v1/approvals/pending?limit=50",
}
QUESTION = {"required": True, "message": "May the rows be loaded?"}


def measure(bench: Bench) -> Iterator[Figure]:
    """Look at the inbox of an approver, with a hundred questions and with a thousand, then answer some in a browser."""
    bench.stack.start_web()
    approver = _make_approver()
    template = engine.make_template(
        "a hundred questions",
        [{"blockId": f"ask{n}", "toolType": "NOOP", "humanInLoop": QUESTION} for n in range(A_RUN)],
    )
    _ask(template, 1, A_RUN)
    few = _queries(approver)
    _ask(template, RUNS - 1, RUNS * A_RUN)
    many = _queries(approver)
    bench.say(f"{RUNS * A_RUN} questions wait")
    session = _session_of(approver)
    headers = {**authorization(), "Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"}
    with httpx.Client(base_url=bench.stack.base_url, headers=headers, timeout=30.0) as client:
        for name, path in PAGES.items():
            took = _times(client, path, bench.scale(100, 30))
            yield Figure(
                f"approval_inbox.{name}_p95_ms",
                percentile(took, 95),
                f"{len(took)} looks at {path}",
                at_most=200.0,
            )
            yield Figure(f"approval_inbox.{name}_p50_ms", percentile(took, 50))
            yield Figure(
                f"approval_inbox.{name}_more_queries",
                many[name] - few[name],
                f"{many[name]} with {RUNS * A_RUN} questions, {few[name]} with {A_RUN}",
                at_most=0,
            )
    clicks = _clicks(bench, session, bench.scale(10, 5))
    yield Figure(
        "approval_click_to_next_block_ms",
        max(clicks),
        f"the slowest of {len(clicks)} in Chromium",
        at_most=1_000.0,
    )


def _make_approver() -> User:
    workspace = engine.owner().workspaces.get()
    approver, made = User.objects.get_or_create(username="benchmark-approver", defaults={"is_staff": True})
    if made:
        Membership.objects.create(workspace=workspace, user=approver, role=Role.APPROVER)
    return approver


def _ask(template: Any, runs: int, waiting: int) -> None:
    """Start runs of a template and wait until so many of its questions wait."""
    for _ in range(runs):
        engine.start(template)
    asked = Approval.objects.filter(execution__template=template, status="PENDING")
    if not wait_for(lambda: asked.count() >= waiting, ASK_TIMEOUT_S, 0.1):
        raise engine.NotCompleted(f"only {asked.count()} of {waiting} questions are asked")


def _session_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def _queries(user: User) -> dict[str, int]:
    """Return how many queries each page takes, asked for in this process."""
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    counts = {}
    for name, path in PAGES.items():
        client.get(path)
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(path)
        if answer.status_code != 200:
            raise engine.NotCompleted(f"{path} answers {answer.status_code}")
        counts[name] = len(queries)
    return counts


def _times(client: httpx.Client, path: str, count: int) -> list[float]:
    """Return the milliseconds that each of ``count`` looks took, one after the other."""
    took = []
    for number in range(count + 3):
        begun = time.perf_counter()
        client.get(path).raise_for_status()
        if number >= 3:
            took.append((time.perf_counter() - begun) * 1_000)
    return took


def _clicks(bench: Bench, session: str, count: int) -> list[float]:
    """Approve in a browser; returns milliseconds from each click to the start of the block behind the question."""
    template = engine.make_template(
        "asks, then goes on",
        [
            {"blockId": "load", "toolType": "NOOP", "humanInLoop": QUESTION},
            {"blockId": "next", "toolType": "NOOP", "dependencies": ["load"]},
        ],
    )
    _ask(template, count, count)
    asked = Approval.objects.filter(execution__template=template).order_by("id")
    keys = dict(asked.values_list("pk", "execution_id"))
    # A browser's loop and Django's ORM do not go together in one thread.
    with ThreadPoolExecutor(1) as browser:
        clicked_at = browser.submit(_press, bench.stack.base_url, session, list(keys)).result()
    behind = BlockExecution.objects.filter(
        execution__in=keys.values(), block_id="next", started_at__isnull=False
    )
    if not wait_for(lambda: behind.count() == count, START_TIMEOUT_S, 0.05):
        raise engine.NotCompleted(f"only {behind.count()} of {count} runs went on")
    started_at = dict(behind.values_list("execution_id", "started_at"))
    return [(started_at[keys[key]].timestamp() - at) * 1_000 for key, at in clicked_at.items()]


def _press(base_url: str, session: str, keys: Sequence[int]) -> dict[int, float]:
    from tests.chromium import open_chromium

    clicked_at = {}
    with open_chromium() as browser:
        context = browser.new_context(base_url=base_url)
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": base_url}])
        page = context.new_page()
        for key in keys:
            page.goto(f"/admin/approvals_app/approval/{key}/change/")
            button = page.locator("button[name=decision][value=approve]")
            button.wait_for()
            clicked_at[key] = time.time()
            button.click()
            page.wait_for_function("() => !document.querySelector('button[name=decision]')")
    return clicked_at

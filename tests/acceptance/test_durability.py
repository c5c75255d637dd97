"""Nothing is lost when anything dies: workers killed in the middle of a block, Redis wiped in the middle of a run.

One stack serves all tests; each starts runs of its own through the REST API and kills what it needs to.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis

from tests.acceptance.held_work import SCHEMA
from tests.running_stack import password_of, running_stack
from workflow_service.embedded.stack_record import AttachedStack

RUN_TIMEOUT_S = 60.0
POLL_S = 0.05


@dataclass
class RunningStack:
    """The stack, and what a client and an onlooker see of it."""

    data_dir: Path
    api: httpx.Client
    database: psycopg.Connection[Any]
    broker: redis.Redis

    def pid(self, name: str) -> int:
        return int(json.loads((self.data_dir / "stack.json").read_text())["pids"][name])

    def create_template(self, blocks: list[dict[str, Any]]) -> str:
        answer = self.api.post("/api/v1/templates", json={"name": "Held", "blocks": blocks})
        assert answer.status_code == 201, answer.text
        assert answer.json()["status"] == "active", answer.text
        return str(answer.json()["templateId"])

    def start(self, template_id: str) -> str:
        answer = self.api.post("/api/v1/executions", json={"templateId": template_id, "input": {}})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["executionId"])

    def execution(self, execution_id: str) -> dict[str, Any]:
        answer = self.api.get(f"/api/v1/executions/{execution_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def began(self, execution_id: str) -> list[int]:
        """Return the pids that began the held work of a run, in order."""
        rows = self.database.execute(
            "SELECT pid FROM held_begun WHERE execution = %s ORDER BY id", [execution_id]
        )
        return [pid for (pid,) in rows]

    def wait_begun(self, execution_id: str, times: int, timeout_s: float = RUN_TIMEOUT_S) -> list[int]:
        await_true(
            lambda: len(self.began(execution_id)) >= times, timeout_s, f"the work did not begin {times} times"
        )
        return self.began(execution_id)

    def release(self, execution_id: str) -> None:
        self.database.execute("INSERT INTO held_released VALUES (%s)", [execution_id])

    def wait_ended(self, execution_id: str) -> dict[str, Any]:
        ended = ("COMPLETED", "FAILED", "CANCELLED")
        await_true(
            lambda: self.execution(execution_id)["status"] in ended, RUN_TIMEOUT_S, "the run did not end"
        )
        return self.execution(execution_id)


def await_true(condition: Callable[[], bool], timeout_s: float, failure: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, failure
        time.sleep(POLL_S)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    data_dir = tmp_path_factory.mktemp("killed") / "data"
    with running_stack(data_dir, USE_CASE_MODULES="tests.acceptance.held_work") as started:
        yield from connect(started)


def connect(stack: AttachedStack) -> Iterator[RunningStack]:
    services = json.loads((stack.data_dir / "services.json").read_text())
    broker = redis.Redis.from_url(services["redis_url"])
    with (
        httpx.Client(base_url=stack.base_url, timeout=20) as api,
        psycopg.connect(services["database_url"], autocommit=True) as database,
    ):
        database.execute(SCHEMA)
        given = {"username": "developer", "password": password_of(stack, "developer")}
        token = api.post("/api/v1/auth/token", json=given).json()
        api.headers["Authorization"] = f"Bearer {token['access']}"
        yield RunningStack(stack.data_dir, api, database, broker)
    broker.close()


HELD_IN_THE_MIDDLE: list[dict[str, Any]] = [
    {"blockId": "before", "toolType": "NOOP"},
    {
        "blockId": "held",
        "toolType": "USE_CASE",
        "configuration": {"useCase": "held.work"},
        "dependencies": ["before"],
    },
    {"blockId": "after", "toolType": "NOOP", "dependencies": ["held"]},
]


def kill_child(stack: RunningStack, pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def kill_parent(stack: RunningStack, pid: int) -> None:
    os.kill(stack.pid("worker"), signal.SIGKILL)


def kill_group(stack: RunningStack, pid: int) -> None:
    os.killpg(os.getpgid(stack.pid("worker")), signal.SIGKILL)


@pytest.mark.parametrize("kill", [kill_child, kill_parent, kill_group])
def test_a_worker_killed_in_a_block_costs_seconds_and_nothing_else(
    stack: RunningStack, kill: Callable[[RunningStack, int], None]
) -> None:
    execution_id = stack.start(stack.create_template(HELD_IN_THE_MIDDLE))
    (first,) = stack.wait_begun(execution_id, 1)
    kill(stack, first)
    pids = stack.wait_begun(execution_id, 2)
    assert pids[1] != first
    stack.release(execution_id)
    ended = stack.wait_ended(execution_id)
    assert ended["status"] == "COMPLETED"
    held = next(block for block in ended["blockExecutions"] if block["blockId"] == "held")
    assert held["output"] == {"pid": pids[1]}
    assert held["retryCount"] == 0
    assert len(stack.began(execution_id)) == 2


def test_redis_wiped_in_the_middle_of_a_run_loses_nothing(stack: RunningStack) -> None:
    parts = [{**HELD_IN_THE_MIDDLE[1], "blockId": f"held{n}", "dependencies": ["before"]} for n in range(4)]
    after = {"blockId": "after", "toolType": "NOOP", "dependencies": [part["blockId"] for part in parts]}
    execution_id = stack.start(stack.create_template([HELD_IN_THE_MIDDLE[0], *parts, after]))
    # Two are at work, the messages of the other two are in Redis or reserved by a worker.
    stack.wait_begun(execution_id, 2)
    stack.broker.flushall()
    stack.release(execution_id)
    ended = stack.wait_ended(execution_id)
    assert ended["status"] == "COMPLETED"
    assert ended["progress"]["completedBlocks"] == 6
    assert len(stack.began(execution_id)) == 4


def test_a_run_started_while_redis_is_empty_and_one_started_just_before_both_complete(
    stack: RunningStack,
) -> None:
    template_id = stack.create_template([{"blockId": "only", "toolType": "NOOP"}])
    before = stack.start(template_id)
    stack.broker.flushall()
    after = stack.start(template_id)
    assert stack.wait_ended(before)["status"] == "COMPLETED"
    assert stack.wait_ended(after)["status"] == "COMPLETED"

"""Many processes work on the same runs and are killed at random: every run ends, once, and its counters agree."""

import random
import time
from typing import Any

import pytest

from executions_app.models import BlockExecution, Execution
from executions_app.sweeper import sweep
from tests.consistency import assert_consistent
from tests.factories import make_template, start
from tests.farms import worker_farm
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES

pytestmark = pytest.mark.usefixtures("db")

ENDS_WITHIN_S = 60.0


def random_blocks(chance: random.Random, layers: int, width: int, *, failing: bool) -> list[dict[str, Any]]:
    """Return a layered graph with many joins; its blocks fail now and then, some for good where ``failing``."""
    blocks: list[dict[str, Any]] = []
    for layer in range(layers):
        for n in range(width):
            name = f"b{layer}_{n}"
            above = [f"b{layer - 1}_{m}" for m in chance.sample(range(width), chance.randint(1, width))]
            fails = "always" if failing and chance.random() < 0.05 else chance.choice(["never", "sometimes"])
            blocks.append(
                {
                    "blockId": name,
                    "toolType": "USE_CASE",
                    "configuration": {
                        "useCase": "tests.farm_work",
                        "input": {"name": name, "fails": fails},
                    },
                    "dependencies": above if layer else [],
                    "retryPolicy": {"maxRetries": 20, "baseDelay": 1},
                }
            )
    return blocks


def wait_ended(executions: list[Execution]) -> None:
    deadline = time.monotonic() + ENDS_WITHIN_S
    open_runs = Execution.objects.filter(pk__in=[execution.pk for execution in executions]).exclude(
        status__in=ENDED_EXECUTION_STATUSES
    )
    while open_runs.exists():
        assert time.monotonic() < deadline, [
            (
                run,
                run.status,
                list(run.block_executions.exclude(settled=True).values_list("block_id", "status")),
            )
            for run in open_runs
        ]
        sweep()
        time.sleep(0.1)


@pytest.mark.parametrize("kills_per_s", [0.0, 3.0])
def test_runs_end_whoever_is_killed(kills_per_s: float) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    sound = [start(make_template(random_blocks(chance, 4, 6, failing=False))) for _ in range(3)]
    failing = [
        start(make_template(random_blocks(chance, 4, 6, failing=True), globalSettings={"onFailure": policy}))
        for policy in ("fail", "continue")
    ]
    with worker_farm(seed, children=4, kills_per_s=kills_per_s):
        wait_ended([*sound, *failing])
    for execution in (*sound, *failing):
        assert_consistent(execution)
    for execution in sound:
        execution.refresh_from_db()
        assert execution.status == "COMPLETED", (seed, execution.error)
        rows = BlockExecution.objects.filter(execution=execution)
        assert set(rows.values_list("status", flat=True)) == {"COMPLETED"}
        assert rows.count() == execution.completed_blocks == 24

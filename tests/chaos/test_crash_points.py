"""A process is killed at each named point, twice, and the run completes all the same.

``CHAOS=full``, as `make chaos` has it, tries every point; without it those that matter most, on each side of a commit
and of a publish.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.points import COMMITS, NOT_TRIED, POINTS, transactions_in_sources
from tests.thoroughness import WHOLE

PROJECT_ROOT = Path(__file__).resolve().parents[2]
SHORT = (
    "executions.start_execution:after commit",
    "claiming.claim_block:after commit",
    "finishing.finish:before commit",
    "finishing.finish:after commit",
    "parking.park:after commit",
    "chord:before publish",
)
TRIED = sorted(POINTS) if WHOLE else SHORT


@pytest.fixture(scope="module")
def runner() -> Iterator["subprocess.Popen[str]"]:
    unset = ("DATABASE_URL", "REDIS_URL", "DATA_DIR", "DJANGO_SETTINGS_MODULE")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.point_runner"],
        cwd=PROJECT_ROOT,
        env={name: value for name, value in os.environ.items() if name not in unset},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


@pytest.mark.parametrize("point", TRIED)
def test_a_process_killed_at_a_point_costs_time_and_nothing_else(
    runner: "subprocess.Popen[str]", point: str
) -> None:
    assert runner.stdin is not None
    assert runner.stdout is not None
    runner.stdin.write(point + "\n")
    runner.stdin.flush()
    answer = runner.stdout.readline()
    assert answer, "the runner ended"
    found = json.loads(answer)
    assert found["problems"] == []
    assert (found["point"], found["deaths"]) == (point, 2)


def test_every_transaction_of_the_engine_has_its_points() -> None:
    assert transactions_in_sources() == COMMITS.keys() | NOT_TRIED.keys(), "see tests/chaos/points.py"

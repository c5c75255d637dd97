"""Named points kill where they are told to, and nowhere else."""

import os
import signal
from pathlib import Path

import pytest

from executions_app import crash_points


@pytest.fixture
def armed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "armed"
    monkeypatch.setattr(crash_points, "_FILE", str(file))
    return file


def dies_after(*points: str) -> int:
    """Return, of a process that passes these points, the number of the one that kills it; 0 for none."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        for point in points:
            os.write(writing, b".")
            crash_points.reach(point)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    os.close(writing)
    passed = len(os.read(reading, 100))
    os.close(reading)
    return passed if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL else 0


def test_nobody_dies_where_nothing_is_armed(armed: Path) -> None:
    assert dies_after("a", "b") == 0


def test_only_the_named_point_kills_and_as_often_as_asked(armed: Path) -> None:
    crash_points.arm(armed, case="one", point="b", deaths=2)
    assert [dies_after("a", "b", "c") for _ in range(3)] == [2, 2, 0]
    assert crash_points.deaths_of(armed, "one") == 2


def test_every_third_time_a_process_passes(armed: Path) -> None:
    crash_points.arm(armed, case="three", point="a", deaths=9, every=3)
    assert dies_after("a", "a", "a", "a") == 3
    assert dies_after("a", "a") == 0


def test_without_the_environment_a_point_is_passed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(crash_points, "_FILE", None)
    crash_points.arm(tmp_path / "armed", case="none", point="a")
    assert dies_after("a") == 0
    assert crash_points.opener() == ""

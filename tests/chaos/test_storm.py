"""A small storm in every run of the suite; `make chaos` has the large one."""

import json
import os
import subprocess
import sys
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "runs": 20,
    "kills": 5,
    "redis": 1,
    "postgres": 1,
    "others": 1,
    "seconds": 15,
    "active": 14,
    "rest": 2,
}


def test_a_small_storm_loses_nothing(tmp_path: Path) -> None:
    report = tmp_path / "chaos.json"
    options = [f"--{name}={value}" for name, value in SMALL.items()]
    unset = ("DATABASE_URL", "REDIS_URL", "DATA_DIR", "DJANGO_SETTINGS_MODULE")
    storm = subprocess.run(
        [sys.executable, "-m", "tests.chaos.storm", *options, "--least-active=8", "--workers=1",
         f"--report={report}"],
        cwd=PROJECT_ROOT,
        env={name: value for name, value in os.environ.items() if name not in unset},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert storm.returncode == 0, storm.stdout + storm.stderr
    found = json.loads(report.read_text())
    assert (found["lost"], found["stuck"], found["double_completions"]) == (0, 0, 0)
    assert found["runs"] >= SMALL["runs"]
    assert (found["worker_kills"], found["redis_kills"], found["postgres_kills"]) == (5, 1, 1)
    assert found["min_active_at_kill"] >= 8

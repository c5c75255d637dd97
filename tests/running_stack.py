"""``manage.py up`` in processes of its own, on a directory of its own and free ports, while a test needs it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workflow_service.demo.client import ServiceClient
from workflow_service.embedded.stack_record import AttachedStack, find_running_stack

PROJECT_ROOT = Path(__file__).resolve().parents[1]
READY_TIMEOUT_S = 240.0
USE_CASES = "examples.sales_etl.use_cases,tests.acceptance.dying_load"
# What the suite runs on is not what the stack runs on.
NOT_ITS_OWN = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a program of the stack in ``data_dir``."""
    own = {"DATA_DIR": str(data_dir), "SERVER_PORT": "0", "FLOWER_PORT": "0", **variables}
    return {name: value for name, value in os.environ.items() if name not in NOT_ITS_OWN} | own


@contextmanager
def running_stack(data_dir: Path, **variables: str) -> Iterator[AttachedStack]:
    """Start a stack, wait until it does its work, and stop it in the end."""
    output = data_dir.with_suffix(".out")
    with output.open("wb") as said:
        up = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=PROJECT_ROOT,
            env=environment(data_dir, **variables),
            stdout=said,
            stderr=said,
        )
    try:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while (found := find_running_stack(data_dir)) is None:
            assert up.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.1)
        yield found
    finally:
        up.terminate()
        up.wait(60)


def password_of(stack: AttachedStack, username: str) -> str:
    """Return the password that the stack has given one of its users."""
    given: str = json.loads((stack.data_dir / "credentials.json").read_text())[username]
    return given


def client_of(stack: AttachedStack, username: str) -> ServiceClient:
    """Return one of the stack's users at its API."""
    return ServiceClient(stack.base_url, username, password_of(stack, username))

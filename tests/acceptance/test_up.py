"""`up` from nothing: comes up, mends itself, dies whole with its supervisor, and comes up again."""

import base64
import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from workflow_service.embedded.processes import command_line, find_marked
from workflow_service.embedded.readiness import answers_http, wait_for
from workflow_service.embedded.stack_record import find_running_stack, read_stack_record
from workflow_service.embedded.supervisor import STACK_VARIABLE, Stack

PROJECT_ROOT = Path(__file__).resolve().parents[2]
UP_TIMEOUT_S = 150.0
PROGRAMS = {"web", "worker", "control", "beat", "flower", "postgres", "redis"}


class Up:
    """`manage.py up` in processes of its own, on a data directory of its own and free ports."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.output = data_dir.with_suffix(".out")
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        unset = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", STACK_VARIABLE)
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        environment |= {"DATA_DIR": str(self.data_dir), "SERVER_PORT": "0", "FLOWER_PORT": "0"} | variables
        with self.output.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "up", *arguments],
                cwd=PROJECT_ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._started.append(process)
        return process

    def wait_ready(self, process: subprocess.Popen[bytes]) -> dict[str, int]:
        """Return the pids by name once all is said to be ready."""

        def is_ready_or_ended() -> bool:
            return "Logs: " in self.said() or process.poll() is not None

        assert wait_for(is_ready_or_ended, UP_TIMEOUT_S), self.said()
        assert process.poll() is None, self.said()
        return self.pids()

    def pids(self) -> dict[str, int]:
        record = read_stack_record(self.data_dir)
        assert record is not None
        return record.pids

    def said(self) -> str:
        return self.output.read_text()

    def kill(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()
        wait_for(lambda: not find_marked(STACK_VARIABLE, str(self.data_dir)), timeout_s=20)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path / "data")
    yield running
    running.kill()


def all_gone(pids: list[int]) -> bool:
    return not any(command_line(pid) for pid in pids)


def assert_signs_in(url: str, user: str, password: str) -> None:
    """Flower refuses strangers and lets its user in, to read only."""
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    for method, path, headers, expected in (
        ("GET", "/workers", {}, 401),
        ("GET", "/workers", {"Authorization": f"Basic {token}"}, 200),
        ("POST", "/api/task/send-task/celery.accumulate", {"Authorization": f"Basic {token}"}, 403),
    ):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        connection.request(method, path, body='{"args": []}' if method == "POST" else None, headers=headers)
        assert connection.getresponse().status == expected
        connection.close()


def test_life_of_a_stack(up: Up) -> None:
    supervisor = up.start()
    pids = up.wait_ready(supervisor)
    assert pids.keys() == PROGRAMS

    # What it says is true, and secrets are the owner's alone.
    record = read_stack_record(up.data_dir)
    assert record is not None
    assert record.state == "ready"
    assert f"Admin: {record.base_url}/admin/" in up.said()
    assert answers_http(f"{record.base_url}/admin/login/") == 200
    credentials = json.loads((up.data_dir / "credentials.json").read_text())
    assert credentials.keys() == {"admin", "developer", "approver", "operator", "viewer"}
    assert f"Sign in as: admin / {credentials['admin']}" in up.said()
    for name in ("credentials.json", "stack.json", "flower.password", "logs/web.log"):
        assert stat.S_IMODE((up.data_dir / name).stat().st_mode) == 0o600
    password = (up.data_dir / "flower.password").read_text().strip()
    assert_signs_in(record.flower_url, "operator", password)
    assert not any(password in word for pid in pids.values() for word in command_line(pid))

    # A second one is refused, one that only wants to use it is not.
    second = Up(up.data_dir)
    second.output = up.data_dir.with_suffix(".second")
    assert second.start().wait(60) == 3
    assert f"in use by process {supervisor.pid}" in second.said()
    with Stack.attach_or_start(data_dir=up.data_dir) as attached:
        assert attached.base_url == record.base_url
    assert supervisor.poll() is None

    # What is killed comes back, pool processes and all.
    children = [
        int(pid) for pid in Path(f"/proc/{pids['worker']}/task/{pids['worker']}/children").read_text().split()
    ]
    assert children
    os.kill(pids["worker"], signal.SIGKILL)
    os.kill(pids["postgres"], signal.SIGKILL)
    os.kill(pids["redis"], signal.SIGKILL)
    assert wait_for(lambda: all_gone([pids["worker"], *children]), timeout_s=10)

    def are_replaced() -> bool:
        return all(up.pids().get(name) not in (None, pids[name]) for name in ("worker", "postgres", "redis"))

    assert wait_for(are_replaced, timeout_s=30)

    # The supervisor's death is everybody's.
    pids = up.pids()
    supervisor.kill()
    supervisor.wait()
    assert wait_for(lambda: all_gone(list(pids.values())), timeout_s=20)
    assert wait_for(lambda: not find_marked(STACK_VARIABLE, str(up.data_dir)), timeout_s=10)
    assert find_running_stack(up.data_dir) is None

    # And a new one takes over, with the same passwords, and stops when it is told to.
    supervisor = up.start()
    pids = up.wait_ready(supervisor)
    assert f"Sign in as: admin / {credentials['admin']}" in up.said()
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(60) == 0
    assert up.said().endswith("Stopped.\n")
    assert all_gone(list(pids.values()))
    assert not (up.data_dir / "stack.json").exists()


@pytest.mark.parametrize("variable", ["SERVER_PORT", "FLOWER_PORT"])
def test_port_in_use_names_the_setting(up: Up, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert up.start(**{variable: str(port)}).wait(60) == 3
    assert f"Port {port} for " in up.said()
    assert f"Set {variable} to another port" in up.said()
    assert not (up.data_dir / "postgres").exists()


def test_program_that_does_not_come_up_shows_its_log(up: Up) -> None:
    assert up.start(DJANGO_SETTINGS_MODULE="no.such.settings").wait(60) != 0
    assert "No module named 'no'" in up.said()


def test_help_explains_settings_and_exit_status() -> None:
    shown = subprocess.run(
        [sys.executable, "manage.py", "up", "--help"],
        cwd=PROJECT_ROOT,
        env={name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for word in ("SERVER_PORT", "FLOWER_PORT", "DATA_DIR", "exit status", "--port"):
        assert word in shown

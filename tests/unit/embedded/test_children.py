"""A supervised child: started, missed when it ends, buried with its whole group, tied to its supervisor."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflow_service.embedded.children import Child, CrashLoop, Exit, Program
from workflow_service.embedded.processes import command_line
from workflow_service.embedded.readiness import wait_for
from workflow_service.embedded.restarts import RestartPolicy

PROJECT_ROOT = Path(__file__).resolve().parents[3]
WITH_GRANDCHILD = """
import subprocess, sys, time
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(grandchild.pid, flush=True)
time.sleep(600)
"""
SUPERVISOR = """
import sys, threading
from pathlib import Path
from workflow_service.embedded.children import Child, Program
program = Program("sleeper", ("/bin/sleep", "600"))
child = Child(program, log_path=Path(sys.argv[1]), directory=Path("/"), environment={})
child.start_if_due(0.0)
print(child.pid, flush=True)
threading.Event().wait()
"""


class ChildMaker:
    """Makes children of one test, and ends them after it."""

    def __init__(self, directory: Path) -> None:
        self.log_path = directory / "child.log"
        self._directory = directory
        self._children: list[Child] = []

    def __call__(self, *command: str) -> Child:
        child = Child(
            Program("fake", command),
            log_path=self.log_path,
            directory=self._directory,
            environment={"PATH": os.defpath, "GREETING": "hello"},
            policy=RestartPolicy(first_delay_s=5.0, crash_loop_after=2),
        )
        self._children.append(child)
        return child

    def end(self) -> None:
        for child in self._children:
            child.kill()


@pytest.fixture
def make_child(tmp_path: Path) -> Iterator[ChildMaker]:
    maker = ChildMaker(tmp_path)
    yield maker
    maker.end()


def exit_of(child: Child, now: float) -> Exit:
    assert wait_for(lambda: not child.is_running(), timeout_s=10)
    exit_ = child.note_exit(now)
    assert exit_ is not None
    return exit_


def test_starts_at_once_and_again_only_after_its_pause(make_child: ChildMaker) -> None:
    child = make_child("/bin/sh", "-c", "exit 3")
    assert child.start_if_due(now=100.0)
    exit_ = exit_of(child, now=101.0)
    assert exit_ == Exit("fake", "ended with status 3", restart_delay_s=5.0, crash_loop=False)
    assert child.pid is None
    assert not child.start_if_due(now=105.9)
    assert child.start_if_due(now=106.1)
    assert not child.start_if_due(now=106.2)


def test_nothing_to_note_while_it_runs_and_only_once_after(make_child: ChildMaker) -> None:
    child = make_child("/bin/sleep", "600")
    assert child.note_exit(now=0.0) is None
    child.start_if_due(now=0.0)
    assert child.note_exit(now=1.0) is None
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    assert exit_of(child, now=2.0).status == "was ended by SIGKILL"
    assert child.note_exit(now=3.0) is None


def test_crash_loop_shows_the_end_of_the_log(make_child: ChildMaker) -> None:
    child = make_child("/bin/sh", "-c", 'echo "$GREETING from a broken program"; exit 1')
    child.start_if_due(now=0.0)
    assert not exit_of(child, now=1.0).crash_loop
    child.start_if_due(now=10.0)
    exit_ = exit_of(child, now=11.0)
    assert exit_.crash_loop
    message = str(CrashLoop(exit_.name, exit_.status, child.log_path))
    assert "fake does not stay up; it last ended with status 1" in message
    assert message.count("hello from a broken program") == 2


def test_program_that_cannot_be_started_says_so(make_child: ChildMaker) -> None:
    child = make_child("/no/such/program")
    child.start_if_due(now=0.0)
    assert exit_of(child, now=1.0).status == "ended with status 125"
    assert "cannot start /no/such/program: " in make_child.log_path.read_text()


def test_what_is_left_of_the_group_is_killed_with_it(make_child: ChildMaker) -> None:
    child = make_child(sys.executable, "-c", WITH_GRANDCHILD)
    child.start_if_due(now=0.0)
    assert wait_for(lambda: make_child.log_path.read_text().endswith("\n"), timeout_s=20)
    grandchild = int(make_child.log_path.read_text())
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    assert command_line(grandchild)
    exit_of(child, now=1.0)
    assert wait_for(lambda: not command_line(grandchild), timeout_s=10)


def test_asked_to_stop_it_ends_by_itself(make_child: ChildMaker) -> None:
    child = make_child("/bin/sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done")
    child.ask_to_stop()
    child.start_if_due(now=0.0)
    assert wait_for(lambda: make_child.log_path.read_text() == "up\n", timeout_s=10)
    child.ask_to_stop()
    assert exit_of(child, now=1.0).status == "ended with status 0"


def test_child_dies_with_a_killed_supervisor(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path / "log")],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert wait_for(lambda: command_line(pid)[:1] == ["/bin/sleep"], timeout_s=10)
        supervisor.kill()
    assert wait_for(lambda: not command_line(pid), timeout_s=20)

"""Processes are known by what they run and where, never by a number alone."""

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflow_service.embedded import ports, processes
from workflow_service.embedded.readiness import wait_for


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs a program of a name of its own in a directory."""
    program = tmp_path / "fake-server"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    with subprocess.Popen([program, "600"], cwd=tmp_path, env={"MARK": str(tmp_path)}) as process:
        assert wait_for(lambda: bool(processes.command_line(process.pid)), timeout_s=10)
        yield process
        process.kill()


def test_recognised_by_program_and_directory(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert processes.find_running("fake-server", tmp_path) == [sleeper.pid]
    assert processes.find_running("fake-server", tmp_path.parent) == []
    assert processes.find_running("other-server", tmp_path) == []


def test_recognised_by_a_mark_in_its_environment(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert processes.find_marked("MARK", str(tmp_path)) == [sleeper.pid]
    assert processes.find_marked("MARK", str(tmp_path)[:-1]) == []


def test_an_ended_process_is_not_recognised(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    sleeper.kill()
    # It stays a zombie until it is waited for, and is gone for us before that.
    assert wait_for(lambda: not processes.command_line(sleeper.pid), timeout_s=10)
    assert processes.find_running("fake-server", tmp_path) == []


def test_leftovers_are_given_time_then_killed(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    processes.stop_leftovers(
        lambda: processes.find_running("fake-server", tmp_path), ((None, 0.1), (signal.SIGKILL, 10.0))
    )
    assert sleeper.wait(timeout=10) == -9


def test_tail_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\xff old\n" + b"".join(b"line %d\n" % number for number in range(100)))
    assert processes.tail(log).splitlines()[-1] == "line 99"
    assert len(processes.tail(log).splitlines()) == processes.TAIL_LINES
    assert processes.tail(log, start=log.stat().st_size) == ""
    assert processes.tail(tmp_path / "none") == ""


def test_port_that_is_taken_is_refused_with_the_mend() -> None:
    port = ports.find_free_port()
    assert ports.demand_port(port, ports.LOOPBACK, "the web process", "SERVER_PORT") == port
    with socket.create_server((ports.LOOPBACK, port)):
        assert ports.answers(port)
        assert ports.choose_port(port) != port
        with pytest.raises(ports.PortUnavailable, match=rf"Port {port} .*in use.*SERVER_PORT .*0 for any"):
            ports.demand_port(port, ports.LOOPBACK, "the web process", "SERVER_PORT")
    assert not ports.answers(port)
    assert ports.demand_port(0, ports.LOOPBACK, "the web process", "SERVER_PORT") > 0

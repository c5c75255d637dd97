"""One supervised child: a program in its own process group that dies with the supervisor.

When the program ends, what is left of its group is killed before the kernel may use the pid again, so that a
restart never meets its predecessor's pool processes.
"""

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from workflow_service.embedded.errors import EmbeddedServiceError
from workflow_service.embedded.processes import launch_command, spawn, tail
from workflow_service.embedded.restarts import RestartPolicy, RestartRecord


@dataclass(frozen=True, slots=True)
class Program:
    """What to run under which name; a list of arguments, never a shell's line."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exit:
    """One end of a child: how, and what happens next."""

    name: str
    status: str
    restart_delay_s: float
    crash_loop: bool


class CrashLoop(EmbeddedServiceError):
    """A child ends again and again soon after its start."""

    def __init__(self, name: str, status: str, log_path: Path) -> None:
        self.name = name
        log = tail(log_path) or "(empty)"
        super().__init__(f"{name} does not stay up; it last {status}. Its log, {log_path}, ends:\n{log}")


class Child:
    """A program that is kept running. All methods are called from one thread."""

    def __init__(
        self,
        program: Program,
        *,
        log_path: Path,
        directory: Path,
        environment: dict[str, str],
        policy: RestartPolicy | None = None,
    ) -> None:
        self.name = program.name
        self.log_path = log_path
        self.environment = environment
        self._command = program.command
        self._directory = directory
        self._record = RestartRecord(policy or RestartPolicy())
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_due = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start_if_due(self, now: float) -> bool:
        """Start the program if it does not run and its pause is over; say whether it was started."""
        if self._process is not None or now < self._start_due:
            return False
        self._process = spawn(
            launch_command(self._command, death_signal=signal.SIGKILL),
            log_path=self.log_path,
            directory=self._directory,
            environment=self.environment,
        )
        self._started_at = now
        return True

    def note_exit(self, now: float) -> Exit | None:
        """Return the program's end if it has ended since the last call, and plan the next start."""
        if self._process is None or not _has_ended(self._process.pid):
            return None
        status = self._bury(self._process)
        decision = self._record.note_exit(started_at=self._started_at, ended_at=now)
        self._start_due = now + decision.delay_s
        return Exit(self.name, status, decision.delay_s, decision.crash_loop)

    def is_running(self) -> bool:
        return self._process is not None and not _has_ended(self._process.pid)

    def ask_to_stop(self) -> None:
        if self._process is not None and self.is_running():
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the program and all of its group at once, if it still runs."""
        if self._process is not None:
            self._bury(self._process)

    def _bury(self, process: subprocess.Popen[bytes]) -> str:
        _kill_group(process.pid)
        code = process.wait()
        self._process = None
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def _has_ended(pid: int) -> bool:
    """Look without reaping: until then the pid, and with it the group's number, cannot be used again."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)

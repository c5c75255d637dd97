"""One private server as a child process: launched, awaited until it answers, stopped."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from workflow_service.embedded.errors import EmbeddedServiceError, PortTaken, ServerFailed
from workflow_service.embedded.ports import LOOPBACK, choose_port
from workflow_service.embedded.processes import POLL_INTERVAL_S, Identity, launch_command, spawn, stop, tail

ATTEMPTS_TO_BIND = 5

StopSignals = Sequence[tuple[signal.Signals, float]]
"""Signals in order, each with the seconds it is given to work."""


class ServerProcess:
    """The program behind a server; it gets `death_signal` when this process dies, however it dies."""

    def __init__(
        self, name: str, log_path: Path, *, stop_signals: StopSignals, death_signal: signal.Signals | None
    ) -> None:
        self._name = name
        self._log_path = log_path
        self._stop_signals = stop_signals
        self._death_signal = death_signal
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(
        self,
        command: Sequence[str],
        answers: Callable[[], bool],
        *,
        directory: Path,
        timeout_s: float,
        identity: Identity | None = None,
    ) -> None:
        """Start the program and wait until it answers.

        Raises `PortTaken` if it could not bind its port, `ServerFailed` if it ended or took longer than the
        timeout.
        """
        log_start = self._log_path.stat().st_size if self._log_path.exists() else 0
        self._process = spawn(
            launch_command(command, identity=identity, death_signal=self._death_signal),
            log_path=self._log_path,
            directory=directory,
            # Nothing of ours: PG* variables would change the server, and secrets have no business there.
            environment={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        )
        try:
            failure = self._wait_until_ready(answers, timeout_s)
        except BaseException:
            self.stop()
            raise
        if failure:
            self.stop()
            said = tail(self._log_path, log_start)
            kind = PortTaken if "Address already in use" in said else ServerFailed
            raise kind(self._name, failure, self._log_path, said)

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process, self._stop_signals)
            self._process = None

    def _wait_until_ready(self, answers: Callable[[], bool], timeout_s: float) -> str:
        assert self._process is not None  # noqa: S101
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return f"ended with status {self._process.returncode}"
            if answers():
                return ""
            time.sleep(POLL_INTERVAL_S)
        return f"did not answer within {timeout_s:.0f} s"


def start_on_some_port(name: str, preferred_port: int | None, launch: Callable[[int], None]) -> None:
    """Launch on the preferred port or, when it is taken, even at the last moment, on another."""
    for _ in range(ATTEMPTS_TO_BIND):
        with contextlib.suppress(PortTaken):
            launch(choose_port(preferred_port))
            return
        preferred_port = None
    raise EmbeddedServiceError(f"No free port on {LOOPBACK} for {name} after {ATTEMPTS_TO_BIND} attempts.")

"""Start server processes, and recognise those that an earlier, killed launcher left behind.

A recorded pid alone is never trusted: pids are used again. A process counts as ours only if /proc says that
it runs the expected program inside our data directory.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

LAUNCH_SCRIPT = Path(__file__).with_name("launch.py")
POLL_INTERVAL_S = 0.02
TAIL_LINES = 20
TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom a server runs: ourselves (all unset), `nobody` in a user namespace, or another user."""

    user_namespace: bool = False
    uid: int | None = None
    gid: int | None = None

    def launch_options(self) -> list[str]:
        if self.user_namespace:
            return ["--user-namespace"]
        if self.uid is not None:
            return ["--uid", str(self.uid), "--gid", str(self.gid)]
        return []


def launch_command(
    command: Sequence[str], *, identity: Identity | None = None, death_signal: signal.Signals | None = None
) -> list[str]:
    """Return the command that becomes `command` under an identity and tied to the life of this process."""
    launch = [sys.executable, "-I", "-S", str(LAUNCH_SCRIPT)]
    if identity is not None:
        launch += identity.launch_options()
    if death_signal is not None:
        launch += ["--parent", str(os.getpid()), "--death-signal", str(int(death_signal))]
    return [*launch, "--", *command]


def spawn(
    command: Sequence[str], *, log_path: Path, directory: Path, environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a command in its own session, its output appended to a log file that only the owner can read."""
    descriptor = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=environment,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)


def stop(process: subprocess.Popen[bytes], signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send each signal in turn, and wait its number of seconds, until the process has ended."""
    for number, patience_s in signals:
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)


def command_line(pid: int) -> list[str]:
    """Return a process' arguments; empty if it is gone, a zombie, or a kernel thread."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [part.decode(errors="replace") for part in raw.rstrip(b"\0").split(b"\0")] if raw else []


def runs_in(pid: int, program: str, directory: Path) -> bool:
    """Say whether a process runs a program (by file name) with a directory as its working directory."""
    arguments = command_line(pid)
    if not arguments or Path(arguments[0].split(" ")[0].rstrip(":")).name != program:
        return False
    try:
        return os.readlink(f"/proc/{pid}/cwd") == str(directory.resolve())
    except OSError:
        return False


def find_running(program: str, directory: Path) -> list[int]:
    """Return the pids of all processes that run a program in a directory."""
    return [pid for pid in _all_pids() if runs_in(pid, program, directory)]


def stop_leftovers(
    find: Callable[[], list[int]], signals: Sequence[tuple[signal.Signals | None, float]]
) -> None:
    """Stop processes of a killed launcher: each signal in turn, then its number of seconds to end.

    `find` is asked again before every signal, so a pid that was used again meanwhile is never hit. A signal
    of None only waits.
    """
    for number, patience_s in signals:
        for pid in find():
            if number is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        deadline = time.monotonic() + patience_s
        while find():
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_INTERVAL_S)
        else:
            return


def tail(path: Path, start: int = 0) -> str:
    """Return the last lines of a log, none of them before a position in bytes; empty if it cannot be read."""
    try:
        with path.open("rb") as log:
            log.seek(max(start, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-TAIL_LINES:])
    except OSError:
        return ""


def find_marked(variable: str, value: str) -> list[int]:
    """Return the pids of all other processes that were started with a variable set to a value."""
    wanted = f"{variable}={value}".encode()
    found = []
    for pid in _all_pids():
        with contextlib.suppress(OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") and pid != os.getpid():
                found.append(pid)
    return found


def _all_pids() -> Iterator[int]:
    with contextlib.suppress(FileNotFoundError), os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit():
                yield int(entry.name)

"""A stack to be broken: private servers and real Celery processes, each of which may be killed and comes back.

One thread starts, mends and ends everything: the kernel ties a process to the thread that started it. A process
that ended is started again by ``mend``, as a supervisor would; what a killed worker's parent leaves behind (children
that still work) is left alone until its leases have run out, and then ended.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import django
from django.core.management import call_command

from workflow_service.embedded import RunningServices, processes, start_services

PROJECT_ROOT = Path(__file__).resolve().parents[2]
# By which the processes of one stack are found, whatever became of their parents.
MARK = "CHAOS_STACK"
RESTART_DELAY_S = 0.3
LOOK_EVERY_S = 0.5
ORPHANS_MAY_LIVE_S = 12.0
CHILDREN = 2
CELERY = (sys.executable, "-m", "celery", "-A", "celery_app")
QUIET = ("--without-gossip", "--without-mingle", "--loglevel", "INFO")


def worker_command(name: str) -> tuple[str, ...]:
    queues = ("-Q", "high,default,low", "-c", str(CHILDREN), "--prefetch-multiplier", "1")
    return (*CELERY, "worker", "-n", f"{name}@%h", *queues, *QUIET)


def control_command(name: str) -> tuple[str, ...]:
    return (*CELERY, "worker", "-n", f"{name}@%h", "-Q", "control", "-c", "1", *QUIET)


BEAT_COMMAND = (*CELERY, "beat", "--loglevel", "INFO")


@dataclass
class Process:
    """One program that is kept running. ``family`` are the pids of its children when they were last looked for."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    popen: "subprocess.Popen[bytes] | None" = None
    ended_at: float = 0.0
    starts: int = 0
    family: tuple[int, ...] = ()

    @property
    def pid(self) -> int:
        return self.popen.pid if self.popen else 0

    def is_running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def children(self) -> list[int]:
        """Return the pids of its children: of a worker, the processes that run blocks."""
        return children_of(self.pid) if self.is_running() else []


class ChaosStack:
    """Servers and processes of one directory; as a context manager all of it is gone at the end."""

    def __init__(self, data_dir: Path, environment: dict[str, str]) -> None:
        self.data_dir = data_dir
        self.services: RunningServices = start_services(data_dir)
        self.environment = {
            "DJANGO_SETTINGS_MODULE": "workflow_service.settings.test",
            **os.environ,
            **self.services.urls.as_environment(),
            "DATA_DIR": str(data_dir),
            "LOG_LEVEL": "INFO",
            MARK: str(data_dir),
            **environment,
        }
        self.processes: dict[str, Process] = {}
        # Ends that nobody planned: when, the process's name, and the pids that went or were orphaned.
        self.crashes: list[tuple[float, str, tuple[int, ...]]] = []
        self._planned: set[int] = set()
        self._looked_at = 0.0
        self._orphans: list[tuple[float, int]] = []

    def set_django_up(self) -> None:
        """Have this process use the stack's database; what imports models is imported after it."""
        os.environ.update({**self.environment, "LOG_LEVEL": "CRITICAL"})
        django.setup()
        call_command("migrate", verbosity=0)

    def add(self, name: str, command: tuple[str, ...], **environment: str) -> None:
        self.processes[name] = Process(name, command, environment)

    def mend(self) -> None:
        """Start what has ended, after a moment; end what a killed parent left long ago."""
        now = time.monotonic()
        look = now - self._looked_at > LOOK_EVERY_S
        if look:
            self._looked_at = now
        for process in self.processes.values():
            if process.is_running():
                if look:
                    process.family = tuple(process.children())
                continue
            if process.ended_at == 0.0:
                process.ended_at = now
                self._note_end(process)
            if process.starts == 0 or now - process.ended_at >= RESTART_DELAY_S:
                self._start(process)
        for due, pid in [found for found in self._orphans if found[0] <= now]:
            self._orphans.remove((due, pid))
            if pid in processes.find_marked(MARK, str(self.data_dir)):
                os.kill(pid, signal.SIGKILL)

    def plan_end(self, pid: int) -> None:
        """Say that a process is about to be killed on purpose."""
        self._planned.add(pid)

    def _note_end(self, process: Process) -> None:
        if process.starts and process.pid not in self._planned:
            self.crashes.append((time.time(), process.name, (process.pid, *process.family)))
            self._leave_orphans(process.family)

    def _leave_orphans(self, pids: Iterable[int]) -> None:
        due = time.monotonic() + ORPHANS_MAY_LIVE_S
        self._orphans += [(due, pid) for pid in pids]

    def kill_parent(self, name: str) -> list[int]:
        """Kill a worker's parent and no more; return the pids of its children, which live on for now."""
        process = self.processes[name]
        children = process.children()
        self.plan_end(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        self._leave_orphans(children)
        return children

    def kill_redis(self) -> None:
        """Kill Redis, delete its data, start it again, empty."""
        self._kill_server("redis")
        shutil.rmtree(self.data_dir / "redis" / "appendonlydir", ignore_errors=True)
        self.services.start_stopped()

    def kill_postgres(self) -> None:
        """Kill Postgres, and start it again once its processes are gone."""
        self._kill_server("postgres")
        self.services.start_stopped()

    def _kill_server(self, name: str) -> None:
        os.kill(self.services.pids[name], signal.SIGKILL)
        deadline = time.monotonic() + 10
        while self.services.are_running():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} survived SIGKILL")
            time.sleep(0.01)

    def _start(self, process: Process) -> None:
        process.popen = processes.spawn(
            processes.launch_command(process.command, death_signal=signal.SIGKILL),
            log_path=self.data_dir / "logs" / f"{process.name}.log",
            directory=PROJECT_ROOT,
            environment={**self.environment, **process.environment},
        )
        process.starts += 1
        process.ended_at = 0.0

    def stop(self) -> None:
        """End every process at once, stopped ones too, and then the servers."""
        for pid in processes.find_marked(MARK, str(self.data_dir)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes.values():
            if process.popen is not None:
                process.popen.wait(10)
        self.services.stop()

    def __enter__(self) -> "ChaosStack":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def children_of(pid: int) -> list[int]:
    """Return the pids of a process's children, whichever of its threads forked them."""
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in tasks.read_text().split()]
    return sorted(found)

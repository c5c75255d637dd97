"""The stack that is measured: servers in a temporary directory, the service's own programs, and bare Celery's worker.

The service's programs are those of ``make up`` with their own options. Everything dies with this process, and the
directory goes with it.
"""

import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from workflow_service.embedded import ports, processes
from workflow_service.embedded.programs import PROJECT_ROOT, StackOptions, stack_programs
from workflow_service.embedded.readiness import answers_http, wait_for
from workflow_service.embedded.services import RunningServices, start_services

CONCURRENCY = 2
START_TIMEOUT_S = 90.0
STOPPING = ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0))
# The embedded servers alone: a benchmark writes a million rows, which nobody wants in a database of theirs.
NOT_OURS = ("DATABASE_URL", "REDIS_URL")
SAFE = ("fsync", "synchronous_commit", "full_page_writes")


class StackFailed(RuntimeError):
    """A program of the stack did not come up or went away."""


class Stack:
    """The running servers and programs of one benchmark."""

    def __init__(self, directory: Path, services: RunningServices, stack: ExitStack) -> None:
        self.directory = directory
        self.services = services
        self._exit_stack = stack
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._web_port = ports.find_free_port()
        self.base_url = f"http://{ports.LOOPBACK}:{self._web_port}"

    def start(self, name: str, command: list[str]) -> None:
        """Start a program that is stopped with the stack."""
        process = processes.spawn(
            processes.launch_command(command, death_signal=signal.SIGKILL),
            log_path=self._log(name),
            directory=PROJECT_ROOT,
            environment=dict(os.environ),
        )
        self._programs[name] = process
        self._exit_stack.callback(processes.stop, process, STOPPING)

    @contextmanager
    def running(self, name: str, command: list[str]) -> Iterator[None]:
        """Run a program for as long as the context lasts; raises ``StackFailed`` if it ended before."""
        self.start(name, command)
        try:
            yield
            self.check()
        finally:
            processes.stop(self._programs.pop(name), STOPPING)

    def start_service(self) -> None:
        """Start the service's worker, control worker and beat, and the two workers it is compared with.

        The queue ``low`` belongs to a worker that never continues in place, and ``high`` to nobody but the
        benchmark itself.
        """
        for name in ("worker", "control", "beat"):
            self.start(name, self._program(name))
        celery = [sys.executable, "-m", "celery", "-A"]
        concurrency = ["-c", str(CONCURRENCY)]
        self.start(
            "stepwise",
            [
                *(*celery, "benchmarks.stepwise", "worker", *concurrency, "-n", "stepwise@%h", "-Q", "low"),
                *("--prefetch-multiplier", "1", "--without-gossip", "--without-mingle", "-l", "INFO"),
            ],
        )
        self.start("bare", [*celery, "benchmarks.bare", "worker", *concurrency, "-n", "bare@%h"])

    def start_web(self) -> None:
        """Start the web process, if it does not run yet, and wait until it answers."""
        if "web" in self._programs:
            return
        self.start("web", self._program("web"))
        if not wait_for(lambda: answers_http(f"{self.base_url}/health/live") == 200, START_TIMEOUT_S):
            raise StackFailed(f"the web process does not answer:\n{processes.tail(self._log('web'))}")

    def children(self, name: str) -> list[int]:
        """Return the pids of the processes that a program has forked."""
        listing = Path(f"/proc/{self._programs[name].pid}/task").glob("*/children")
        return [int(pid) for task in listing for pid in task.read_text().split()]

    def check(self) -> None:
        """Raise ``StackFailed``, with the end of its log, if a program has ended."""
        for name, process in self._programs.items():
            if process.poll() is not None:
                log = processes.tail(self._log(name))
                raise StackFailed(f"{name} ended with status {process.returncode}:\n{log}")

    def stop_database(self) -> None:
        """Stop Postgres as an operator would: every connection is closed at once."""
        os.kill(self.services.pids["postgres"], signal.SIGINT)
        if not wait_for(lambda: not self.services.are_running(), START_TIMEOUT_S, 0.02):
            raise StackFailed("Postgres did not stop")

    def start_database(self) -> None:
        """Start Postgres again, where it was."""
        url = self.services.urls.database_url
        self.services.start_stopped()
        if self.services.urls.database_url != url:
            raise StackFailed("Postgres could not be started again on its port")

    def _program(self, name: str) -> list[str]:
        options = StackOptions(self.directory, worker_concurrency=CONCURRENCY)
        (found,) = (p for p in stack_programs(options, self._web_port, 0) if p.name == name)
        return ["default" if part == "high,default,low" else part for part in found.command]

    def _log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"


@contextmanager
def open_stack() -> Iterator[Stack]:
    """Start the servers and set this process' environment and Django up; the programs are still to be started."""
    for name in NOT_OURS:
        os.environ.pop(name, None)
    with ExitStack() as exits:
        directory = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="workflow-bench-")))
        services = exits.enter_context(start_services(directory))
        os.environ.update(
            services.urls.as_environment(),
            DATA_DIR=str(directory),
            DJANGO_SETTINGS_MODULE="workflow_service.settings.development",
            BARE_REDIS_URL=services.urls.redis_url.rsplit("/", 1)[0] + "/1",
            USE_CASE_MODULES="benchmarks.use_cases",
            RATE_LIMIT_EXECUTIONS_PER_H="1000000",
            RATE_LIMIT_CREATIONS_PER_H="1000000",
        )
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        # Every start of this process would be a line between those that say how far it is.
        logging.getLogger("workflow_service").setLevel(logging.WARNING)
        yield Stack(directory, services, exits)


def safe_settings(database_url: str) -> dict[str, str]:
    """Return Postgres' settings of durability; raises ``StackFailed`` if one of them is off."""
    with psycopg.connect(database_url) as database:
        found = {name: str(database.execute(f"SHOW {name}").fetchone()[0]) for name in SAFE}  # type: ignore[index]
    if set(found.values()) != {"on"}:
        raise StackFailed(f"Postgres must be as safe as it is by default, and is {found}")
    return found

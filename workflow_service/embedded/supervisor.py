"""The whole stack as one unit: its servers, web, workers, beat and Flower, kept running until it is stopped.

One thread starts, watches, restarts and stops every process, for the kernel ties a process to the thread that
started it: whatever ends the supervisor, even kill -9, ends the stack. A lock allows one per data directory.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from workflow_service.embedded import ports, processes
from workflow_service.embedded.children import Child, CrashLoop, Exit
from workflow_service.embedded.directories import keep_secret, prepare_data_directory
from workflow_service.embedded.errors import DataDirectoryInUse, EmbeddedServiceError, ServerFailed
from workflow_service.embedded.locks import DirectoryLock
from workflow_service.embedded.programs import PROJECT_ROOT, StackOptions, prepare_command, stack_programs
from workflow_service.embedded.readiness import ConsumptionProbe, answers_http, wait_for
from workflow_service.embedded.services import RunningServices, ServiceUrls, start_services
from workflow_service.embedded.stack_record import (
    STACK_LOCK,
    AttachedStack,
    StackRecord,
    find_running_stack,
    write_stack_record,
)

STACK_VARIABLE = "WORKFLOW_SERVICE_STACK"
"""Marks a stack's processes with its data directory, for a later supervisor to find what was left over."""
WATCH_INTERVAL_S = 0.1
SERVICE_RETRY_S = 5.0
STOP_GRACE_S = 25.0
PREPARE_TIMEOUT_S = 300.0
READY_TIMEOUT_S = 120.0
"""Generous: a small machine starts five Python programs at once."""

Report = Callable[[str], None]
"""Told, in words for a person, what happens; called from more than one thread."""


def _be_silent(_: str) -> None: ...


class StackNotReady(EmbeddedServiceError):
    """The stack was started and does not do its work in time."""


class Stack:
    """A stack that this process supervises; as a context manager it is stopped at the end."""

    def __init__(self, options: StackOptions, report: Report = _be_silent) -> None:
        self.data_dir = prepare_data_directory(options.data_dir)
        self._options = options
        self._report = report
        self._lock = DirectoryLock(self.data_dir, STACK_LOCK)
        self._lock.acquire()
        try:
            self._port = ports.demand_port(options.port, options.host, "the web process", "SERVER_PORT")
            self._flower_port = ports.demand_port(
                options.flower_port, ports.LOOPBACK, "Flower", "FLOWER_PORT"
            )
        except BaseException:
            self._lock.release()
            raise
        shown_host = ports.LOOPBACK if options.host in ("0.0.0.0", "") else options.host  # noqa: S104
        self.base_url = f"http://{shown_host}:{self._port}"
        self.flower_url = f"http://{ports.LOOPBACK}:{self._flower_port}"
        self._flower_password = options.flower_password or keep_secret(self.data_dir / "flower.password")
        self.supervisor_pid = os.getpid()
        self._services: RunningServices | None = None
        self._urls: ServiceUrls | None = None
        self._service_retry_due = 0.0
        self._children: list[Child] = []
        self._failure: BaseException | None = None
        self._launched, self._ready = threading.Event(), threading.Event()
        self._stop_asked, self._hurry, self._ended = threading.Event(), threading.Event(), threading.Event()
        # A daemon, so that an interpreter that ends without stop() ends, and the kernel ends the processes.
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    @classmethod
    def start(
        cls,
        *,
        data_dir: Path,
        port: int = 8080,
        flower_port: int = 5555,
        host: str = ports.LOOPBACK,
        flower_user: str = "operator",
        flower_password: str | None = None,
        worker_concurrency: int = 2,
        report: Report = _be_silent,
    ) -> "Stack":
        """Start a stack and wait until it does its work. A port of 0 means any free one.

        Raises `EmbeddedServiceError`: a port or the directory in use, something that does not come up.
        """
        options = StackOptions(
            data_dir, host, port, flower_port, flower_user, flower_password, worker_concurrency
        )
        stack = cls(options, report)
        stack._thread.start()
        try:
            stack._wait_until_ready()
        except BaseException:
            stack.stop()
            raise
        return stack

    @classmethod
    def attach_or_start(
        cls, *, data_dir: Path, port: int = 8080, flower_port: int = 5555, report: Report = _be_silent
    ) -> "Stack | AttachedStack":
        """Use the stack that runs in a data directory, once it is ready; start one if none runs."""
        while True:
            attached = find_running_stack(data_dir, wait_s=READY_TIMEOUT_S)
            if attached is not None:
                report(f"Using the stack that process {attached.supervisor_pid} runs.")
                return attached
            with contextlib.suppress(DataDirectoryInUse):  # somebody started one meanwhile: use that
                return cls.start(data_dir=data_dir, port=port, flower_port=flower_port, report=report)

    @property
    def flower_login(self) -> tuple[str, str]:
        return self._options.flower_user, self._flower_password

    @property
    def urls(self) -> ServiceUrls:
        if self._urls is None:
            raise EmbeddedServiceError("The stack's servers do not run yet.")
        return self._urls

    def wait(self) -> None:
        """Block for as long as the stack runs; raise what ended it, if that was not stop()."""
        self._ended.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stop every process, cleanly; an interrupt meanwhile kills what is left. Harmless when repeated."""
        self._stop_asked.set()
        # Not join(): on Python 3.11 an interrupted join takes the thread for ended.
        while not self._ended.is_set():
            try:
                self._ended.wait()
            except KeyboardInterrupt:
                self._hurry.set()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # The supervising thread: everything below, except _wait_until_ready, runs in it alone.

    def _supervise(self) -> None:
        try:
            self._stop_leftovers()
            self._report("Starting Postgres and Redis.")
            with start_services(self.data_dir) as services:
                self._services, self._urls = services, services.urls
                self._report("Preparing the database.")
                self._prepare()
                self._make_children()
                try:
                    self._watch()
                finally:
                    self._stop_children()
                    write_stack_record(self.data_dir, None)
        except BaseException as error:  # handed to the thread that waits, which raises it
            self._failure = error
        finally:
            self._ended.set()

    def _stop_leftovers(self) -> None:
        """End what a killed supervisor left; the kernel has ended all but what hid from it."""
        write_stack_record(self.data_dir, None)
        processes.stop_leftovers(
            lambda: processes.find_marked(STACK_VARIABLE, str(self.data_dir)),
            ((None, 1.0), (signal.SIGKILL, 5.0)),
        )

    def _prepare(self) -> None:
        log_path = self._fresh_log("prepare")
        process = processes.spawn(
            processes.launch_command(prepare_command(), death_signal=signal.SIGKILL),
            log_path=log_path,
            directory=PROJECT_ROOT,
            environment=self._environment(),
        )
        deadline = time.monotonic() + PREPARE_TIMEOUT_S
        try:
            while process.poll() is None and time.monotonic() < deadline and not self._stop_asked.is_set():
                time.sleep(WATCH_INTERVAL_S)
        finally:
            processes.stop(process, ((signal.SIGKILL, 5.0),))
        if process.returncode != 0 and not self._stop_asked.is_set():
            log_tail = processes.tail(log_path)
            raise ServerFailed("Preparing the database", "failed", log_path, log_tail)

    def _make_children(self) -> None:
        self._children = [
            Child(
                program,
                log_path=self._fresh_log(program.name),
                directory=PROJECT_ROOT,
                environment=self._environment(),
            )
            for program in stack_programs(self._options, self._port, self._flower_port)
        ]
        self._report(f"Starting {', '.join(child.name for child in self._children)}.")

    def _watch(self) -> None:
        while not self._stop_asked.is_set():
            self._watch_services()
            now = time.monotonic()
            for child in self._children:
                exit_ = child.note_exit(now)
                if exit_ is not None:
                    self._react_to(exit_, child)
            if [child.name for child in self._children if child.start_if_due(now)]:
                self._record()
                self._launched.set()
            self._stop_asked.wait(WATCH_INTERVAL_S)

    def _react_to(self, exit_: Exit, child: Child) -> None:
        if not exit_.crash_loop:
            self._report(f"{exit_.name} {exit_.status}; it starts again in {exit_.restart_delay_s:.1f} s.")
            return
        loop = CrashLoop(exit_.name, exit_.status, child.log_path)
        if not self._ready.is_set():
            raise loop
        self._report(f"{loop}\nIt is tried again, with longer and longer pauses.")

    def _watch_services(self) -> None:
        services = self._services
        if services is None or services.are_running() or time.monotonic() < self._service_retry_due:
            return
        try:
            self._report(f"{' and '.join(services.start_stopped())} had ended and was started again.")
        except EmbeddedServiceError as error:
            if not self._ready.is_set():
                raise
            self._service_retry_due = time.monotonic() + SERVICE_RETRY_S
            self._report(f"{error}\nIt is tried again in {SERVICE_RETRY_S:.0f} s.")
            return
        if services.urls != self._urls:  # another program took the port meanwhile: all must learn the new one
            self._urls = services.urls
            for child in self._children:
                child.environment = self._environment()
                child.ask_to_stop()
        self._record()

    def _stop_children(self) -> None:
        for child in self._children:
            child.ask_to_stop()
        deadline = time.monotonic() + STOP_GRACE_S
        while any(child.is_running() for child in self._children) and time.monotonic() < deadline:
            if self._hurry.wait(WATCH_INTERVAL_S):
                break
        for child in self._children:
            if child.is_running():
                self._report(f"{child.name} did not stop in time and is killed.")
            child.kill()

    def _environment(self) -> dict[str, str]:
        user, password = self.flower_login
        return {
            "DJANGO_SETTINGS_MODULE": self._options.settings_module,
            **os.environ,
            **self.urls.as_environment(),
            "DATA_DIR": str(self.data_dir),
            "SERVER_PORT": str(self._port),
            "FLOWER_BASIC_AUTH": f"{user}:{password}",
            "PYTHONUNBUFFERED": "1",
            STACK_VARIABLE: str(self.data_dir),
        }

    def _fresh_log(self, name: str) -> Path:
        """Return the path of a log that holds this run alone; the last run's is kept beside it."""
        path = self.data_dir / "logs" / f"{name}.log"
        with contextlib.suppress(FileNotFoundError):
            path.replace(path.with_suffix(".log.1"))
        return path

    def _record(self) -> None:
        pids = {child.name: child.pid for child in self._children if child.pid}
        pids |= self._services.pids if self._services else {}
        state = "ready" if self._ready.is_set() else "starting"
        record = StackRecord(state, self.supervisor_pid, self.base_url, self.flower_url, pids)
        write_stack_record(self.data_dir, record)

    # The starting thread.

    def _wait_until_ready(self) -> None:
        while not self._launched.wait(WATCH_INTERVAL_S):
            self._raise_failure()
        probe = ConsumptionProbe(self.urls.redis_url, READY_TIMEOUT_S)
        try:
            self._wait_for(lambda: answers_http(f"{self.base_url}/health/live") == 200, "The web process")
            self._wait_for(lambda: not probe.unanswered(timeout_s=0.5), "A worker")
        finally:
            probe.close()
        self._wait_for(lambda: ports.answers(self._flower_port), "Flower")
        self._ready.set()
        self._record()
        self._report("Ready.")

    def _wait_for(self, condition: Callable[[], bool], what: str) -> None:
        def holds() -> bool:
            self._raise_failure()
            return condition()

        if not wait_for(holds, READY_TIMEOUT_S):
            logs = self.data_dir / "logs"
            raise StackNotReady(f"{what} does not do its work after {READY_TIMEOUT_S:.0f} s; see {logs}.")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._ended.is_set():
            raise StackNotReady("The stack was stopped while it started.")

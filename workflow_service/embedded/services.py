"""The private Postgres and Redis of one data directory: start both, say where they are, stop both.

`services.json` in the data directory tells other processes the URLs (it holds passwords: mode 0600). A server
for which the environment gives a URL (`DATABASE_URL`, `REDIS_URL`) is somebody else's: it is used, never
started or stopped.
"""

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

from workflow_service.embedded import ports, processes
from workflow_service.embedded.directories import prepare_data_directory, write_private_file
from workflow_service.embedded.errors import DataDirectoryUnusable
from workflow_service.embedded.locks import DirectoryLock
from workflow_service.embedded.postgres import PostgresServer
from workflow_service.embedded.server_process import ServerProcess
from workflow_service.embedded.valkey import ValkeyServer

SERVICES_FILE = "services.json"
_WHERE_RECORDED = (
    ("database_url", "postgres_pid", "postgres", "postgres"),
    ("redis_url", "redis_pid", "valkey-server", "redis"),
)


@dataclass(frozen=True, slots=True)
class ServiceUrls:
    """Where the database and the message broker answer; the URLs hold passwords."""

    database_url: str
    redis_url: str

    def __repr__(self) -> str:
        return "ServiceUrls(…)"

    def as_environment(self) -> dict[str, str]:
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}


class _Server(Protocol):
    process: ServerProcess

    @property
    def url(self) -> str: ...

    def start(self, preferred_port: int | None) -> None: ...


class RunningServices:
    """The servers this process started and, as a context manager, stops."""

    def __init__(
        self, data_dir: Path, lock: DirectoryLock, postgres: _Server | None, valkey: _Server | None
    ) -> None:
        self._data_dir = data_dir
        self._lock = lock
        self._postgres = postgres
        self._valkey = valkey

    @property
    def urls(self) -> ServiceUrls:
        return ServiceUrls(
            self._postgres.url if self._postgres else os.environ["DATABASE_URL"],
            self._valkey.url if self._valkey else os.environ["REDIS_URL"],
        )

    @property
    def pids(self) -> dict[str, int]:
        """Return the pids of the servers by name; only those that this process started."""
        servers = {"postgres": self._postgres, "redis": self._valkey}
        return {name: server.process.pid for name, server in servers.items() if server and server.process.pid}

    def are_running(self) -> bool:
        return all(server.process.is_running() for server in (self._postgres, self._valkey) if server)

    def start_stopped(self) -> list[str]:
        """Start every server that does not run (all at first), on its last port if it can; return their
        names.

        The URLs may differ afterwards: another program may have taken the port meanwhile.
        """
        ports_before = _recorded_ports(self._data_dir)
        started = []
        for name, server in (("postgres", self._postgres), ("redis", self._valkey)):
            if server is not None and not server.process.is_running():
                server.start(ports_before.get(name))
                started.append(name)
        if started:
            self._record()
        return started

    def stop(self) -> None:
        """Stop the servers, cleanly; harmless when repeated."""
        with contextlib.ExitStack() as steps:
            steps.callback(self._lock.release)
            for server in (self._postgres, self._valkey):
                if server is not None:
                    steps.callback(server.process.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _record(self) -> None:
        record = {
            "database_url": self.urls.database_url,
            "redis_url": self.urls.redis_url,
            "postgres_pid": self.pids.get("postgres"),
            "redis_pid": self.pids.get("redis"),
        }
        write_private_file(self._data_dir / SERVICES_FILE, json.dumps(record, indent=2) + "\n")


def start_services(data_dir: Path, *, parent_death_signal: bool = True) -> RunningServices:
    """Start the private servers of a data directory, set up if need be, and wait until they answer.

    With `parent_death_signal` they stop, cleanly, when the calling thread's process dies, however it dies.
    Raises `EmbeddedServiceError`: directory unusable or in use by another launcher, no binary, a server that
    fails.
    """
    directory = prepare_data_directory(data_dir)
    (directory / "logs").mkdir(mode=0o700, exist_ok=True)
    lock = DirectoryLock(directory, "services")
    lock.acquire()
    try:
        services = RunningServices(
            directory,
            lock,
            None
            if os.environ.get("DATABASE_URL")
            else PostgresServer(directory, die_with_parent=parent_death_signal),
            None
            if os.environ.get("REDIS_URL")
            else ValkeyServer(directory, die_with_parent=parent_death_signal),
        )
    except BaseException:
        lock.release()
        raise
    try:
        services.start_stopped()
    except BaseException:
        services.stop()
        raise
    return services


def read_services(data_dir: Path) -> ServiceUrls | None:
    """Return the URLs of the servers that run now in a data directory; None if one does not answer."""
    record = _read_record(data_dir)
    if record is None:
        return None
    for url_key, pid_key, program, folder in _WHERE_RECORDED:
        pid, url = record.get(pid_key), urlsplit(str(record.get(url_key)))
        if isinstance(pid, int) and not processes.runs_in(pid, program, data_dir / folder):
            return None
        if not url.hostname or not ports.answers(url.port or 0, url.hostname):
            return None
    return ServiceUrls(str(record["database_url"]), str(record["redis_url"]))


def _recorded_ports(data_dir: Path) -> dict[str, int]:
    record = _read_record(data_dir) or {}
    found = {"postgres": record.get("database_url"), "redis": record.get("redis_url")}
    return {name: port for name, url in found.items() if url and (port := urlsplit(str(url)).port)}


def _read_record(data_dir: Path) -> dict[str, object] | None:
    try:
        record = json.loads((data_dir / SERVICES_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:  # not ours, or cut short by a full disk: the ports in it are only a preference
        return None
    except OSError as error:
        raise DataDirectoryUnusable(data_dir, f"{SERVICES_FILE}: {error.strerror}") from error
    return record if isinstance(record, dict) else None

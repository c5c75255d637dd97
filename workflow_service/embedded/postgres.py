"""A private PostgreSQL server on loopback: created once, started, recovered after a kill, stopped.

`fsync` and `synchronous_commit` stay at their safe defaults: what was committed survives a kill -9.
A cluster is initialised aside and renamed when whole, so a half-made one is never started.
"""

import os
import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from workflow_service.embedded.binaries import find_postgres_binaries
from workflow_service.embedded.directories import keep_secret, write_private_file
from workflow_service.embedded.errors import EmbeddedServiceError
from workflow_service.embedded.identities import choose_postgres_identity, hand_over
from workflow_service.embedded.ports import LOOPBACK
from workflow_service.embedded.processes import command_line, find_running, launch_command, stop_leftovers
from workflow_service.embedded.server_process import ServerProcess, start_on_some_port

USER = "wf"
DATABASE = "workflow_service"
INITDB_TIMEOUT_S = 180
START_TIMEOUT_S = 120  # crash recovery may have much log to replay
FAST, IMMEDIATE, KILL = signal.SIGINT, signal.SIGQUIT, signal.SIGKILL
STOP_SIGNALS = ((FAST, 15.0), (IMMEDIATE, 5.0), (KILL, 5.0))


class PostgresServer:
    """The server of one data directory; its caller holds the directory's lock."""

    def __init__(self, data_dir: Path, *, die_with_parent: bool) -> None:
        self._cluster = data_dir / "postgres"
        self._unfinished = data_dir / "postgres.unfinished"
        self._binaries = find_postgres_binaries()
        self._password_file = data_dir / "postgres.password"
        self._password = keep_secret(self._password_file)
        self._identity = choose_postgres_identity(self._cluster, self._binaries / "postgres")
        self.process = ServerProcess(
            "Postgres",
            data_dir / "logs" / "postgres.log",
            stop_signals=STOP_SIGNALS,
            death_signal=FAST if die_with_parent else None,
        )
        self.port = 0

    @property
    def url(self) -> str:
        return self._url(DATABASE)

    def start(self, preferred_port: int | None) -> None:
        """Start the server, initialised if need be; raises `ServerFailed` with the end of its log."""
        self._stop_leftovers()
        if not self._cluster.exists():
            self._initialise()
        start_on_some_port("Postgres", preferred_port, self._launch)
        self._create_database()

    def _launch(self, port: int) -> None:
        self.port = port
        settings = {
            "port": str(port),
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        command = [str(self._binaries / "postgres"), "-D", str(self._cluster)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self.process.launch(
            command,
            self._answers,
            directory=self._cluster.parent,
            timeout_s=START_TIMEOUT_S,
            identity=self._identity,
        )

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self._url("postgres"), connect_timeout=2):
                return True
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise EmbeddedServiceError(
                    f"{self._cluster} was made with another password than the one in {self._password_file}. "
                    "Put that file back, or remove both to start with an empty database."
                ) from error
            return False

    def _create_database(self) -> None:
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if not found:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _url(self, database: str) -> str:
        return f"postgresql://{USER}:{quote(self._password, safe='')}@{LOOPBACK}:{self.port}/{database}"

    def _initialise(self) -> None:
        self._unfinished.mkdir(mode=0o700)
        new, password_file = self._unfinished / "cluster", self._unfinished / "password"
        write_private_file(password_file, self._password + "\n")
        for path in (self._unfinished, password_file):
            hand_over(path, self._identity)
        command = [str(self._binaries / "initdb"), "-D", str(new), "-U", USER, "-E", "UTF8", "--locale=C"]
        # The built-in provider needs no locale of the system's, which small machines lack.
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "-A", "scram-sha-256"]
        command += [f"--pwfile={password_file}", "--no-instructions"]
        result = subprocess.run(
            launch_command(command, identity=self._identity, death_signal=KILL),
            cwd=self._unfinished,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            capture_output=True,
            timeout=INITDB_TIMEOUT_S,
            check=False,
        )
        if result.returncode != 0:
            output = (result.stdout + result.stderr).decode(errors="replace")
            raise EmbeddedServiceError(f"Postgres could not create {self._cluster}; initdb said:\n{output}")
        new.rename(self._cluster)
        shutil.rmtree(self._unfinished)

    def _stop_leftovers(self) -> None:
        """End what a killed launcher left of this cluster."""
        running = partial(find_running, "postgres", self._cluster)
        stop_leftovers(lambda: [pid for pid in running() if "-D" in command_line(pid)], STOP_SIGNALS)
        # Backends end by themselves once they notice that their postmaster is gone.
        stop_leftovers(running, ((None, 5.0), (IMMEDIATE, 2.0), (KILL, 5.0)))
        # A pid file that remains is stale, and Postgres believes it if that pid is in use again by anybody.
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        for directory in (self._unfinished, self._unfinished / "cluster"):
            for program in ("initdb", "postgres"):
                stop_leftovers(partial(find_running, program, directory), ((KILL, 5.0),))
        if self._unfinished.exists():
            shutil.rmtree(self._unfinished)

"""A private Valkey (Redis-compatible) server on loopback: started, recovered after a kill, stopped.

It refuses writes when full instead of evicting (`noeviction`) and keeps an append-only file. Nothing in it is
a fact of the platform, so a file damaged beyond loading is put aside, not mended.
"""

import signal
import time
from functools import partial
from pathlib import Path

import redis

from workflow_service.embedded.binaries import find_valkey_server
from workflow_service.embedded.directories import keep_secret, write_private_file
from workflow_service.embedded.errors import ServerFailed
from workflow_service.embedded.ports import LOOPBACK
from workflow_service.embedded.processes import find_running, stop_leftovers
from workflow_service.embedded.server_process import ServerProcess, start_on_some_port

START_TIMEOUT_S = 60
STOP_SIGNALS = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


class ValkeyServer:
    """The server of one data directory; its caller holds the directory's lock."""

    def __init__(self, data_dir: Path, *, die_with_parent: bool) -> None:
        self._directory = data_dir / "redis"
        self._program = find_valkey_server()
        self._password = keep_secret(data_dir / "redis.password")
        self.process = ServerProcess(
            "Redis",
            data_dir / "logs" / "redis.log",
            stop_signals=STOP_SIGNALS,
            death_signal=signal.SIGTERM if die_with_parent else None,
        )
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    def start(self, preferred_port: int | None) -> None:
        """Start the server; raises `ServerFailed` with the end of its log."""
        stop_leftovers(partial(find_running, "valkey-server", self._directory), STOP_SIGNALS)
        self._directory.mkdir(mode=0o700, exist_ok=True)
        try:
            start_on_some_port("Redis", preferred_port, self._launch)
        except ServerFailed as error:
            if "append only file" not in error.log_tail:
                raise
            damaged = self._directory / "appendonlydir"
            damaged.rename(self._directory / f"appendonlydir.damaged-{time.time_ns()}")
            start_on_some_port("Redis", preferred_port, self._launch)

    def _launch(self, port: int) -> None:
        self.port = port
        # A file, for arguments are everybody's to read; its path tells a later launcher whose server this is.
        configuration = self._directory / "valkey.conf"
        write_private_file(configuration, self._configuration())
        self.process.launch(
            [str(self._program), str(configuration)],
            self._answers,
            directory=self._directory,
            timeout_s=START_TIMEOUT_S,
        )

    def _configuration(self) -> str:
        lines = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "requirepass": self._password,
            "appendonly": "yes",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "set-proc-title": "no",
        }
        return "".join(f"{name} {value}\n" for name, value in lines.items())

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

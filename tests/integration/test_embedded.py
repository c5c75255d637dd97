"""The private servers, for real: set up, found again, taken over after a kill, refused where they cannot be."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from workflow_service.embedded import read_services, start_services
from workflow_service.embedded.errors import (
    DataDirectoryInUse,
    DataDirectoryUnusable,
    EmbeddedServiceError,
)
from workflow_service.embedded.processes import command_line
from workflow_service.embedded.readiness import wait_for

PROJECT_ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = """
import sys, threading
from pathlib import Path
from workflow_service.embedded import start_services
services = start_services(Path(sys.argv[1]), parent_death_signal=sys.argv[2] == "tied")
print("running", flush=True)
threading.Event().wait()
"""


@pytest.fixture(autouse=True)
def own_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_suite_servers(monkeypatch)


def forget_suite_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests start servers of their own."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)


@pytest.fixture(scope="module")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose servers were started and stopped once, to be copied."""
    directory = tmp_path_factory.mktemp("initialised")
    with pytest.MonkeyPatch.context() as monkeypatch:
        forget_suite_servers(monkeypatch)
        start_services(directory).stop()
    return directory


@pytest.fixture
def data_dir(initialised: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(initialised, tmp_path / "data"))


@pytest.fixture
def launch(data_dir: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the servers from a process of its own, which can then be killed."""
    launched: list[subprocess.Popen[str]] = []

    def start(directory: Path = data_dir, *, tied: bool = True, wait: bool = True) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(directory), "tied" if tied else "free"],
            cwd=PROJECT_ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        launched.append(process)
        if wait:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
        return process

    yield start
    for process in launched:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def server_pids(data_dir: Path) -> list[int]:
    record = json.loads((data_dir / "services.json").read_text())
    return [record["postgres_pid"], record["redis_pid"]]


def is_gone(pid: int) -> bool:
    return not command_line(pid)


def test_first_start_sets_everything_up(tmp_path: Path) -> None:
    data_dir = tmp_path / "not" / "there" / "yet"
    with start_services(data_dir) as services:
        with psycopg.connect(services.urls.database_url) as connection:
            for name, value in (
                ("fsync", "on"),
                ("synchronous_commit", "on"),
                ("listen_addresses", "127.0.0.1"),
                ("password_encryption", "scram-sha-256"),
            ):
                assert connection.execute("SELECT current_setting(%s)", [name]).fetchone() == (value,)
        with redis.Redis.from_url(services.urls.redis_url) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        for name in ("services.json", "postgres.password", "redis.password", "redis/valkey.conf"):
            assert stat.S_IMODE((data_dir / name).stat().st_mode) == 0o600
        for pid in services.pids.values():
            words = " ".join(command_line(pid))
            assert (data_dir / "postgres.password").read_text().strip() not in words
            assert (data_dir / "redis.password").read_text().strip() not in words
        assert not (data_dir / "postgres.unfinished").exists()
        assert "://" not in repr(services.urls)


def test_password_is_required(data_dir: Path) -> None:
    with start_services(data_dir) as services:
        database_url = services.urls.database_url.replace("wf:", "wf:not")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(database_url)
        with (
            redis.Redis.from_url(services.urls.redis_url.replace("//:", "//:not")) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()


def test_second_start_finds_data_password_and_port_again(data_dir: Path) -> None:
    with start_services(data_dir) as services:
        first = services.urls
        assert read_services(data_dir) == first
        with psycopg.connect(first.database_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
        with redis.Redis.from_url(first.redis_url) as client:
            client.set("kept", "7")
    assert read_services(data_dir) is None
    with start_services(data_dir) as services:
        assert services.urls == first
        with psycopg.connect(first.database_url) as connection:
            assert connection.execute("SELECT value FROM kept").fetchone() == (7,)
        with redis.Redis.from_url(first.redis_url) as client:
            assert client.get("kept") == b"7"


def test_given_urls_are_used_and_not_started(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_services(data_dir) as services:
        monkeypatch.setenv("DATABASE_URL", services.urls.database_url)
        other = data_dir.with_name("other")
        with start_services(other) as mixed:
            assert mixed.urls.database_url == services.urls.database_url
            assert mixed.pids.keys() == {"redis"}
            assert not (other / "postgres").exists()
            assert read_services(other) == mixed.urls


def test_stale_pid_file_of_a_pid_in_use_again(data_dir: Path) -> None:
    pid_file = data_dir / "postgres" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{data_dir / 'postgres'}\n0\n5432\n\n127.0.0.1\n0 0\nready   \n")
    with start_services(data_dir) as services:
        psycopg.connect(services.urls.database_url).close()


def test_servers_stop_when_their_launcher_is_killed(
    data_dir: Path, launch: Callable[..., subprocess.Popen[str]]
) -> None:
    launcher = launch()
    pids = server_pids(data_dir)
    launcher.kill()
    assert wait_for(lambda: all(is_gone(pid) for pid in pids), timeout_s=20)
    assert read_services(data_dir) is None


def test_servers_that_outlived_their_launcher_are_replaced(
    data_dir: Path, launch: Callable[..., subprocess.Popen[str]]
) -> None:
    launcher = launch(tied=False)
    pids = server_pids(data_dir)
    launcher.kill()
    launcher.wait()
    assert read_services(data_dir) is not None
    with start_services(data_dir) as services:
        assert all(is_gone(pid) for pid in pids)
        psycopg.connect(services.urls.database_url).close()


def test_no_acknowledged_commit_is_lost_when_everything_is_killed(
    data_dir: Path, launch: Callable[..., subprocess.Popen[str]]
) -> None:
    launcher = launch()
    urls = read_services(data_dir)
    assert urls is not None
    acknowledged = 0
    with (
        contextlib.suppress(psycopg.OperationalError),
        psycopg.connect(urls.database_url, autocommit=True) as writer,
    ):
        writer.execute("CREATE TABLE written (n integer PRIMARY KEY)")
        while True:
            writer.execute("INSERT INTO written VALUES (%s)", [acknowledged + 1])
            acknowledged += 1
            if acknowledged == 200:
                for pid in (launcher.pid, *server_pids(data_dir)):
                    os.kill(pid, signal.SIGKILL)
    assert acknowledged >= 200
    launcher.wait()
    with start_services(data_dir) as services, psycopg.connect(services.urls.database_url) as reader:
        rows = reader.execute("SELECT count(*), max(n) FROM written").fetchone()
    # The statement that was under way may have been committed without its answer having come.
    assert rows in {(acknowledged, acknowledged), (acknowledged + 1, acknowledged + 1)}


def test_leftovers_of_an_unfinished_set_up_are_removed(
    tmp_path: Path, launch: Callable[..., subprocess.Popen[str]]
) -> None:
    data_dir = tmp_path / "fresh"
    launcher = launch(data_dir, wait=False)
    assert wait_for((data_dir / "postgres.unfinished" / "cluster" / "base").exists, 30, interval_s=0.005)
    launcher.kill()
    launcher.wait()
    assert not (data_dir / "postgres").exists()
    with start_services(data_dir) as services:
        psycopg.connect(services.urls.database_url).close()
    assert not (data_dir / "postgres.unfinished").exists()


def test_another_port_where_the_last_one_is_taken(data_dir: Path) -> None:
    record = json.loads((data_dir / "services.json").read_text())
    with socket.socket() as postgres_thief, socket.socket() as redis_thief:
        for thief, url in ((postgres_thief, record["database_url"]), (redis_thief, record["redis_url"])):
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind(("127.0.0.1", urlsplit(url).port))
            thief.listen()
        with start_services(data_dir) as services:
            assert services.urls.database_url != record["database_url"]
            assert services.urls.redis_url != record["redis_url"]
            assert read_services(data_dir) == services.urls


def test_a_server_that_ended_is_started_again(data_dir: Path) -> None:
    with start_services(data_dir) as services:
        pid = services.pids["postgres"]
        os.kill(pid, signal.SIGKILL)
        assert wait_for(lambda: not services.are_running(), timeout_s=10)
        assert services.start_stopped() == ["postgres"]
        psycopg.connect(services.urls.database_url).close()
        assert services.start_stopped() == []


def test_second_launcher_is_told_who_has_the_directory(
    data_dir: Path, launch: Callable[..., subprocess.Popen[str]]
) -> None:
    launcher = launch()
    with pytest.raises(DataDirectoryInUse, match=rf"in use by process {launcher.pid} .*kill {launcher.pid}"):
        start_services(data_dir)
    assert read_services(data_dir) is not None


def test_place_that_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirectoryUnusable, match=r"not a directory.*Set DATA_DIR"):
        start_services(tmp_path / "file")


def test_place_that_cannot_be_written() -> None:
    with pytest.raises(DataDirectoryUnusable, match=r"/proc/.*cannot be used.*Set DATA_DIR"):
        start_services(Path("/proc/self/data"))


def test_password_file_of_another_cluster(data_dir: Path) -> None:
    (data_dir / "postgres.password").write_text("another\n")
    with pytest.raises(EmbeddedServiceError, match=r"another password than the one in .*postgres\.password"):
        start_services(data_dir)
    assert not any(not is_gone(pid) for pid in server_pids(data_dir))


def test_server_that_does_not_start_shows_its_log(data_dir: Path) -> None:
    (data_dir / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(EmbeddedServiceError, match=r"(?s)ended with status 1.*no_such_setting") as caught:
        start_services(data_dir)
    assert "postgres.log" in str(caught.value)


def test_damaged_redis_file_is_put_aside(data_dir: Path) -> None:
    with start_services(data_dir) as services, redis.Redis.from_url(services.urls.redis_url) as client:
        client.set("key", "value")
    [log] = (data_dir / "redis" / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(b"*3\r\n$nonsense\r\n" + log.read_bytes())
    with start_services(data_dir) as services, redis.Redis.from_url(services.urls.redis_url) as client:
        assert client.ping()
    assert list((data_dir / "redis").glob("appendonlydir.damaged-*"))

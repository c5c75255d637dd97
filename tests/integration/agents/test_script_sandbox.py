"""What a script cannot do: with the kernel's namespaces, and where a kernel refuses them."""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.invocations import make_limits
from tests.patience import wait_until
from tests.script_runner import ScriptRunner
from workflow_service.agents.errors import ToolError
from workflow_service.agents.invocation import LogLine
from workflow_service.agents.limits import ScriptLimits
from workflow_service.agents.script_process import ScriptPlaces, launched
from workflow_service.agents.workspace_files import open_workspace_file
from workflow_service.engine.states import ErrorType


def fences_that_stand(namespaces: bool) -> frozenset[str]:
    """Ask the launcher which fences this machine's kernel allows."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        places = ScriptPlaces(directory / "work", directory, directory / "given", directory / "results")
        for path in (places.work, places.given, places.results):
            path.mkdir()
        script = directory / "nothing.py"
        script.write_text("")
        limits = make_limits(directory, script=ScriptLimits(namespaces=namespaces))
        with launched(script, places, 10, limits) as (process, report):
            process.wait(20)
            news = os.read(report, 10_000).splitlines()
    return frozenset(json.loads(news[0])["fences"])


FENCES = {namespaces: fences_that_stand(namespaces) for namespaces in (True, False)}
WITH_FORK_CEILING = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2]) >= (6, 14)


@pytest.fixture(params=[True, False], ids=["namespaces", "no-namespaces"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> ScriptRunner:
    if request.param and "processes" not in FENCES[True]:
        pytest.skip("this kernel refuses user namespaces")
    return ScriptRunner(tmp_path, namespaces=request.param)


@pytest.fixture
def needs(run: ScriptRunner) -> Callable[[str], None]:
    def need(fence: str) -> None:
        if fence not in FENCES[run.namespaces]:
            pytest.skip(f"this kernel has no fence for {fence}")

    return need


@pytest.fixture
def marker() -> str:
    """A word that only processes of this test bear on their command line."""
    return f"marker-{uuid.uuid4().hex}"


def processes_with(marker: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def sleeper(marker: str) -> str:
    return f"[sys.executable, '-c', 'import time; time.sleep(600)', '{marker}']"


def test_the_environment_is_empty(run: ScriptRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    environment = run("import os, json; print(json.dumps(dict(os.environ)))")
    # Python itself sets this one where there is no locale.
    assert set(environment) <= {"LC_CTYPE"}


def test_the_directory_is_its_own_and_goes_away(run: ScriptRunner) -> None:
    work = run(
        "import os, json; open('a.txt', 'w').write('x'); print(json.dumps([os.getcwd(), os.listdir()]))"
    )
    assert sorted(work[1]) == ["a.txt", "out"]
    assert Path(work[0]).is_relative_to(run.directory / "runs")
    assert run.runs == []


def test_no_descriptor_of_the_worker_is_open(run: ScriptRunner) -> None:
    with tempfile.TemporaryFile() as secret:
        os.set_inheritable(secret.fileno(), True)
        assert run("import os, json; print(json.dumps(sorted(os.listdir('/proc/self/fd'))[:5]))")[:3] == [
            "0",
            "1",
            "2",
        ]
        open_files = run(
            "import os, json\n"
            "def is_open(n):\n"
            "    try: os.fstat(n); return True\n"
            "    except OSError: return False\n"
            "print(json.dumps([n for n in range(3, 200) if is_open(n)]))"
        )
    assert open_files == []


@pytest.mark.parametrize("session", [False, True], ids=["same-session", "own-session"])
def test_a_timeout_ends_grandchildren(run: ScriptRunner, marker: str, session: bool) -> None:
    code = f"""
        import subprocess, sys, time
        child = "import subprocess, sys, time; subprocess.Popen({sleeper(marker)}); time.sleep(600)"
        subprocess.Popen([sys.executable, '-c', child, '{marker}'], start_new_session={session})
        print('started', file=sys.stderr, flush=True)
        time.sleep(600)
    """
    started = time.monotonic()
    error = run.failure(dedent(code), timeout_s=1.5)
    assert error.error_type == ErrorType.TIMEOUT_ERROR
    assert "did not end within 1.5 s" in error.message
    assert error.retryable
    assert time.monotonic() - started < 10
    assert [line.message for line in run.logs] == ["started"]
    assert wait_until(lambda: processes_with(marker) == [])
    assert run.runs == []


def test_what_a_script_leaves_running_ends_with_it(run: ScriptRunner, marker: str) -> None:
    code = f"""
        import os, subprocess, sys
        subprocess.Popen({sleeper(marker)}, start_new_session=True)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.execv(sys.executable, {sleeper(marker)})
            os._exit(0)
        print('"done"')
    """
    started = time.monotonic()
    # The left-behind hold stdout open: the answer must not wait for them.
    assert run(dedent(code)) == "done"
    assert time.monotonic() - started < 10
    assert wait_until(lambda: processes_with(marker) == [])


def test_a_script_that_ignores_signals_ends(run: ScriptRunner, marker: str) -> None:
    code = f"""
        import os, signal, sys
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        os.execv(sys.executable, {sleeper(marker)})
    """
    assert run.failure(dedent(code), timeout_s=1.0).error_type == ErrorType.TIMEOUT_ERROR
    assert wait_until(lambda: processes_with(marker) == [])


def test_an_exception_in_the_worker_ends_the_script(run: ScriptRunner, marker: str) -> None:
    class Interrupted(BaseException):
        pass

    class Alarm(list[LogLine]):
        def append(self, line: LogLine) -> None:
            raise Interrupted

    code = f"""
        import os, sys
        print('up', file=sys.stderr, flush=True)
        os.execv(sys.executable, {sleeper(marker)})
    """
    with pytest.raises(Interrupted):
        run(dedent(code), logs=Alarm())
    assert wait_until(lambda: processes_with(marker) == [])
    assert run.runs == []


def test_the_death_of_the_worker_ends_the_script(run: ScriptRunner, marker: str) -> None:
    code = f"import os, sys; os.execv(sys.executable, {sleeper(marker)})"
    worker = f"""
        from pathlib import Path
        from tests.script_runner import ScriptRunner
        ScriptRunner(Path({str(run.directory)!r}), namespaces={run.namespaces})({code!r}, timeout_s=600.0)
    """
    root = Path(__file__).parents[3]
    path = os.pathsep.join([str(root), *sys.path])
    process = subprocess.Popen([sys.executable, "-c", dedent(worker)], cwd=root, env={"PYTHONPATH": path})
    try:
        # The worker bears the marker too, in its source; what is waited for is the program that was exec'ed.
        def sleeping() -> bool:
            return any(b"time.sleep(600)\0marker" in cmdline for cmdline in cmdlines(marker))

        assert wait_until(sleeping, 20)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert wait_until(lambda: processes_with(marker) == [])


def cmdlines(marker: str) -> Iterator[bytes]:
    for pid in processes_with(marker):
        try:
            yield Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue


def test_memory_is_bounded(run: ScriptRunner) -> None:
    error = run.failure("x = bytearray(300 * 1024 * 1024)", script_limits={"memory": 200 * 1024 * 1024})
    assert error.error_type == ErrorType.SYSTEM_ERROR
    assert "MemoryError" in error.message


def test_processor_time_is_bounded_by_the_clock(run: ScriptRunner) -> None:
    assert run.failure("while True: pass", timeout_s=1.0).error_type == ErrorType.TIMEOUT_ERROR


def test_files_are_bounded(run: ScriptRunner) -> None:
    code = "open('big', 'wb').write(bytes(3 * 1024 * 1024)); print(1)"
    error = run.failure(code, script_limits={"file_size": 1024 * 1024})
    assert error.error_type == ErrorType.SYSTEM_ERROR


@pytest.mark.parametrize("run", [True], ids=["namespaces"], indirect=True)
def test_the_disk_is_bounded(run: ScriptRunner, needs: Callable[[str], None]) -> None:
    needs("disk")
    code = "for n in range(8): open(str(n), 'wb').write(bytes(500_000))\nprint(1)"
    error = run.failure(code, script_limits={"file_size": 1024 * 1024})
    assert "No space left on device" in error.message


def test_open_files_are_bounded(run: ScriptRunner) -> None:
    assert "Too many open files" in run.failure("files = [open('/dev/null') for _ in range(300)]").message


def test_a_fork_bomb_is_bounded(run: ScriptRunner) -> None:
    if os.getuid() == 0 and not (run.namespaces and WITH_FORK_CEILING):
        pytest.skip("nothing bounds root's processes on this kernel without a namespace")
    code = """
        import os, signal
        forked = 0
        try:
            while forked < 400:
                if os.fork() == 0:
                    signal.pause()
                forked += 1
        except OSError:
            pass
        print(forked)
    """
    assert run(dedent(code)) < 310


def test_there_is_no_network(run: ScriptRunner, needs: Callable[[str], None]) -> None:
    needs("network")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.01)
        code = f"""
            import json, socket
            def attempt(work):
                try: work(); return 'connected'
                except OSError as error: return type(error).__name__
            port = {server.getsockname()[1]}
            def udp():
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', port))
            print(json.dumps([
                attempt(lambda: socket.create_connection(('127.0.0.1', port), 2)),
                attempt(udp),
                attempt(lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW)),
                attempt(lambda: socket.getaddrinfo('example.com', 80)),
            ]))
        """
        assert "connected" not in run(dedent(code))
        with pytest.raises(TimeoutError):
            server.accept()


def test_the_network_can_be_allowed(run: ScriptRunner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        code = (
            f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5); print(1)"
        )
        assert run(code, script_limits={"network": "allow"}) == 1
        server.accept()[0].close()


def attempt_to_read(*paths: Path) -> str:
    return dedent(f"""
        import json, os
        def read(path):
            try: return os.listdir(path) if os.path.isdir(path) else open(path).read()
            except OSError as error: return type(error).__name__
        print(json.dumps([read(path) for path in {[str(path) for path in paths]}]))
    """)


def test_hidden_files_are_closed(run: ScriptRunner, needs: Callable[[str], None]) -> None:
    needs("files")
    data = run.directory / "data"
    secret, beside = data / "services.json", run.directory / "beside.txt"
    data.mkdir()
    secret.write_text("password")
    beside.write_text("open")
    link = run.directory / "link"
    link.symlink_to(data)
    code = attempt_to_read(secret, data, link / "services.json", beside)
    denied = "PermissionError"
    # Also where the operator has opened what lies around it.
    opened = run(code, limits={"hidden_paths": (data,)}, script_limits={"readable": (run.directory,)})
    assert opened == [denied, denied, denied, "open"]
    assert run(code) == [denied] * 4


def test_files_of_its_own_workspace_only(run: ScriptRunner, needs: Callable[[str], None]) -> None:
    needs("files")
    own, other = (run.directory / "files" / name / "a.csv" for name in ("ws_1", "ws_2"))
    for path in (own, other):
        path.parent.mkdir(parents=True)
        path.write_text(path.parent.name)
    answer = run(attempt_to_read(own, other), limits={"hidden_paths": (run.directory,)})
    assert answer == ["ws_1", "PermissionError"]


def test_files_of_its_workspace_can_be_made(run: ScriptRunner, needs: Callable[[str], None]) -> None:
    needs("files")
    code = """
        import json, os, sys
        files = json.load(sys.stdin)['context']['filesDir']
        def attempt(path):
            try: open(path, 'w').write('made'); return 'done'
            except OSError as error: return type(error).__name__
        os.makedirs(files + '/runs')
        print(json.dumps([attempt(files + '/runs/a.txt'), attempt(files + '/../ws_2.txt')]))
    """
    assert run(dedent(code), limits={"hidden_paths": (run.directory,)}) == ["done", "PermissionError"]
    assert (run.directory / "files" / "ws_1" / "runs" / "a.txt").read_text() == "made"


def test_a_link_that_a_script_makes_opens_nothing_to_the_worker(run: ScriptRunner) -> None:
    secret = run.directory / "secret.txt"
    secret.write_text("secret")
    code = f"""
        import json, os, sys
        files = json.load(sys.stdin)['context']['filesDir']
        os.symlink({str(secret)!r}, files + '/link')
        os.symlink({str(run.directory)!r}, files + '/directory')
        os.mkfifo(files + '/pipe')
        print(1)
    """
    assert run(dedent(code)) == 1
    for name in ("link", "directory/secret.txt", "pipe"):
        with pytest.raises(ToolError) as caught:
            open_workspace_file(run.directory / "files", "ws_1", name)
        assert caught.value.error_type == ErrorType.RESOURCE_NOT_FOUND


def test_other_scripts_at_work_are_hidden(run: ScriptRunner, needs: Callable[[str], None]) -> None:
    needs("files")
    other = run.directory / "runs" / "other" / "script" / "x.py"
    other.parent.mkdir(parents=True)
    other.write_text("secret")
    assert run(attempt_to_read(other, run.directory / "runs")) == ["PermissionError", "PermissionError"]


def test_nothing_is_written_elsewhere(run: ScriptRunner, needs: Callable[[str], None]) -> None:
    needs("files")
    existing = run.directory / "existing.txt"
    existing.write_text("mine")
    code = f"""
        import json, os
        def attempt(work):
            try: work(); return 'done'
            except OSError as error: return type(error).__name__
        target = {str(run.directory)!r}
        print(json.dumps([
            attempt(lambda: open(target + '/new.txt', 'w')),
            attempt(lambda: open(target + '/existing.txt', 'a')),
            attempt(lambda: os.remove(target + '/existing.txt')),
            attempt(lambda: os.mkdir(target + '/new')),
            attempt(lambda: os.truncate(target + '/existing.txt', 0)),
            attempt(lambda: open('/dev/null', 'w').write('x')),
        ]))
    """
    assert run(dedent(code)) == ["PermissionError"] * 5 + ["done"]
    assert existing.read_text() == "mine"


def test_the_workers_environment_and_memory_are_closed(
    run: ScriptRunner, needs: Callable[[str], None]
) -> None:
    needs("files")
    code = f"""
        import json
        def read(path):
            try: return open(path, 'rb').read(1) is not None
            except OSError as error: return False
        print(json.dumps([read(f'/proc/{os.getpid()}/' + name) for name in ('environ', 'mem', 'maps')]))
    """
    assert run(dedent(code)) == [False, False, False]


def test_no_privilege_is_left(run: ScriptRunner) -> None:
    code = """
        import json
        status = dict(line.split(':', 1) for line in open('/proc/self/status') if ':' in line)
        names = ('CapPrm', 'CapEff', 'CapBnd', 'NoNewPrivs')
        print(json.dumps([int(status[name], 16) for name in names]))
    """
    permitted, effective, _, no_new_privileges = run(dedent(code))
    assert (permitted, effective, no_new_privileges) == (0, 0, 1)


def test_debugging_and_mounting_are_refused(run: ScriptRunner, needs: Callable[[str], None]) -> None:
    needs("calls")
    code = """
        import ctypes, json
        libc = ctypes.CDLL(None, use_errno=True)
        def errno(result): return ctypes.get_errno() if result == -1 else 0
        print(json.dumps([
            errno(libc.unshare(0x10000000)),
            errno(libc.ptrace(0, 0, 0, 0)),
            errno(libc.mount(b'none', b'.', b'tmpfs', 0, None)),
        ]))
    """
    assert run(dedent(code)) == [1, 1, 1]


@pytest.mark.parametrize("run", [True], ids=["namespaces"], indirect=True)
def test_processes_outside_are_out_of_sight_and_reach(
    run: ScriptRunner, needs: Callable[[str], None]
) -> None:
    needs("proc")
    code = """
        import json, os
        print(json.dumps([len([p for p in os.listdir('/proc') if p.isdigit()]), os.getpid()]))
    """
    seen, pid = run(dedent(code))
    assert seen <= 3
    assert pid < 10


def test_ordinary_programs_still_work(run: ScriptRunner) -> None:
    code = """
        import asyncio, concurrent.futures, hashlib, json, random, sqlite3, subprocess, tempfile, uuid
        async def nap():
            await asyncio.sleep(0.01)
            return 1
        with tempfile.NamedTemporaryFile() as file:
            file.write(b'x')
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            squares = list(pool.map(lambda n: n * n, range(4)))
        database = sqlite3.connect('own.db')
        database.execute('create table t (a)')
        database.commit()
        print(json.dumps([
            asyncio.run(nap()), squares, subprocess.check_output(['echo', 'hello']).decode(),
            len(uuid.uuid4().hex), 0 <= random.random() < 1,
        ]))
    """
    assert run(dedent(code)) == [1, [0, 1, 4, 9], "hello\n", 32, True]

"""The sandbox, hazard by hazard: each is contained, and each says clearly what it met."""

import os
import platform
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from django.core.checks import CheckMessage

from tests.invocations import make_limits
from tests.script_runner import ScriptRunner
from workflow_service.agents import isolation, script_process
from workflow_service.agents.isolation import Isolation, check_isolation
from workflow_service.agents.limits import ScriptLimits
from workflow_service.agents.script_process import probe_fences, required_fences
from workflow_service.engine.states import ErrorType

MEBIBYTE = 1024 * 1024
FENCES = probe_fences(make_limits(Path("nowhere")))
FORKS_BOUNDED = os.getuid() != 0 or (
    "processes" in FENCES
    and tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2]) >= (6, 14)
)

pytestmark = pytest.mark.skipif(
    not {"files", "calls", "network"} <= FENCES, reason="this kernel has no Landlock or no seccomp"
)


@pytest.fixture
def run(tmp_path: Path) -> ScriptRunner:
    return ScriptRunner(tmp_path, namespaces=True)


REQUIRED: dict[str, Any] = {"isolation": "required"}


def test_the_environment_is_empty(run: ScriptRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:password@db/x")
    code = f"""
        import json, os
        seen = dict(os.environ)
        for path in ('/proc/self/environ', '/proc/1/environ', '/proc/{os.getpid()}/environ'):
            try: seen[path] = open(path).read()
            except OSError: pass
        print(json.dumps(seen))
    """
    seen = run(dedent(code), script_limits=REQUIRED)
    assert "password" not in str(seen)
    assert not [name for name in seen if not name.startswith("/") and name != "LC_CTYPE"]


HAZARDS: list[Any] = [
    pytest.param(
        "print(open('{other}').read())",
        {},
        ErrorType.AUTHORIZATION_ERROR,
        "touched a file that is neither its own nor its workspace's: PermissionError: [Errno 13]",
        "files",
        id="another-run",
    ),
    pytest.param(
        "print(open('/etc/fstab').read())",
        {},
        ErrorType.AUTHORIZATION_ERROR,
        "touched a file that is neither its own nor its workspace's",
        "files",
        id="the-machine's-files",
    ),
    pytest.param(
        "open('{home}/x', 'w')",
        {},
        ErrorType.AUTHORIZATION_ERROR,
        "touched a file that is neither its own nor its workspace's",
        "files",
        id="write-elsewhere",
    ),
    pytest.param(
        "import socket; socket.create_connection(('127.0.0.1', 80), 2)",
        {},
        ErrorType.AUTHORIZATION_ERROR,
        "asked for the network, or for a right, that is closed to scripts: PermissionError: [Errno 1]",
        "network",
        id="network",
    ),
    pytest.param(
        "import urllib.request; urllib.request.urlopen('http://example.com/', timeout=2)",
        {},
        ErrorType.AUTHORIZATION_ERROR,
        "asked for the network",
        "network",
        id="network-by-name",
    ),
    pytest.param(
        "x = bytearray(300 * 1024 * 1024)",
        {"memory": 200 * MEBIBYTE},
        ErrorType.SYSTEM_ERROR,
        "needed more memory than the 209715200 bytes that a process of a script may have: MemoryError",
        "memory",
        id="memory-bomb",
    ),
    pytest.param(
        "import os\nwhile True: os.fork()",
        {"processes": 8},
        ErrorType.SYSTEM_ERROR,
        "started more processes or threads than a script may have: BlockingIOError",
        "processes",
        id="fork-bomb",
        marks=pytest.mark.skipif(not FORKS_BOUNDED, reason="nothing bounds root's processes on this kernel"),
    ),
    pytest.param(
        "open('big', 'wb').write(bytes(3 * 1024 * 1024)); print(1)",
        {"file_size": MEBIBYTE},
        ErrorType.SYSTEM_ERROR,
        "wrote more than the 1048576 bytes that a script may write",
        "disk",
        id="disk-bomb",
    ),
    pytest.param(
        "files = [open('/dev/null') for _ in range(300)]",
        {},
        ErrorType.SYSTEM_ERROR,
        "opened more files than the 256",
        "openFiles",
        id="open-files",
    ),
    pytest.param(
        "while True: pass",
        {},
        ErrorType.TIMEOUT_ERROR,
        "did not end within 1 s and was stopped",
        None,
        id="endless-loop",
    ),
    pytest.param(
        "import sys\nwhile True: sys.stdout.write('x' * 65536)",
        {},
        ErrorType.VALIDATION_ERROR,
        "printed more than 1000000 bytes",
        None,
        id="huge-output",
    ),
]


@pytest.mark.parametrize(("code", "script_limits", "error_type", "said", "limit"), HAZARDS)
def test_hazards(
    run: ScriptRunner,
    code: str,
    script_limits: dict[str, Any],
    error_type: ErrorType,
    said: str,
    limit: str | None,
) -> None:
    other = run.directory / "runs" / "other" / "work" / "output.json"
    other.parent.mkdir(parents=True)
    other.write_text('"a result of somebody else"')
    began = time.monotonic()
    error = run.failure(
        code.replace("{other}", str(other)).replace("{home}", str(run.directory)),
        limits={"max_output_bytes": 1_000_000},
        script_limits=REQUIRED | script_limits,
        timeout_s=1.0 if error_type is ErrorType.TIMEOUT_ERROR else 20.0,
    )
    assert (error.error_type, said in error.message) == (error_type, True), error.message
    assert error.message.startswith("inline.py ")
    assert error.details.get("limit") == limit
    assert "somebody else" not in error.message
    assert [path.name for path in run.runs] == ["other"], "nothing of it is left"
    assert time.monotonic() - began < 15


def test_log_lines_without_end_are_dropped(run: ScriptRunner) -> None:
    code = "import sys\nfor n in range(5000): print(n, file=sys.stderr)\nprint(1)"
    assert run(code, script_limits=REQUIRED) == 1
    assert len(run.logs) == 2_001
    assert "the rest is dropped" in run.logs[-1].message


def test_what_the_operator_opens_is_readable(run: ScriptRunner) -> None:
    place = run.directory / "reference"
    place.mkdir()
    (place / "rates.json").write_text("[1]")
    code = f"print(open('{place}/rates.json').read())"
    assert run.failure(code, script_limits=REQUIRED).details["limit"] == "files"
    assert run(code, script_limits=REQUIRED | {"readable": (place,)}) == [1]
    hidden = {"hidden_paths": (run.directory,)}
    assert run.failure(code, limits=hidden, script_limits=REQUIRED | {"readable": (place,)}).details[
        "limit"
    ] == ("files")


def test_without_a_fence_scripts_are_refused_unless_the_operator_takes_less(
    run: ScriptRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        script_process,
        "required_fences",
        lambda limits: required_fences(limits) and required_fences(limits) | {"moat"},
    )
    error = run.failure("print(1)", script_limits=REQUIRED)
    assert error.error_type is ErrorType.CONFIGURATION_ERROR
    assert "was not started: this machine's kernel has no fence for moat" in error.message
    assert "SCRIPT_ISOLATION=best_effort" in error.message
    assert not error.retryable
    assert run("print(1)", script_limits={"isolation": "best_effort"}) == 1


def test_what_is_required() -> None:
    def required(**script: Any) -> set[str]:
        return set(required_fences(make_limits(Path("x"), script=ScriptLimits(**script))))

    assert required() == {"files", "calls", "network"}
    assert required(network="allow") == {"files", "calls"}
    assert required(isolation="best_effort") == set()


def test_the_check_says_what_holds_on_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def said(found: Isolation | None = None) -> CheckMessage:
        if found is not None:
            monkeypatch.setattr(isolation, "isolation", lambda: found)
        [message] = check_isolation(None)
        return message

    assert said().id == "agents.I001"
    assert (
        "calls, files, network" in said(Isolation(frozenset({"files", "calls", "network"}), frozenset())).msg
    )
    refused = said(Isolation(frozenset({"calls"}), frozenset({"files"})))
    assert (refused.id, "no fence for files" in refused.msg) == ("agents.W001", True)

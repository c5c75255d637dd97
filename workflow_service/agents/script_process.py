"""The process of one script, from its start to the certain end of everything it started."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workflow_service.agents import sandbox
from workflow_service.agents.limits import ToolLimits

END_GRACE_S = 2.0
# What Python and its libraries read: code, and facts about the machine that are no secrets. Not /etc as a whole.
SYSTEM_PATHS = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/proc"),
    *("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"),
    *(
        "/etc/ld.so.cache",
        "/etc/localtime",
        "/etc/timezone",
        "/etc/mime.types",
        "/etc/ssl",
        "/etc/ca-certificates",
    ),
    *("/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf", "/etc/passwd", "/etc/group", "/etc/os-release"),
)


def required_fences(limits: ToolLimits) -> frozenset[str]:
    """Return the fences without which a script is not started."""
    if limits.script.isolation == "best_effort":
        return frozenset()
    return frozenset({"files", "calls"} | ({"network"} if limits.script.network == "deny" else set()))


def probe_fences(limits: ToolLimits) -> frozenset[str]:
    """Return the fences that this machine's kernel puts up: asked by starting a script that does nothing."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        script = directory / "nothing.py"
        script.write_text("")
        places = ScriptPlaces(*(directory / name for name in ("work", "files", "given", "results")))
        for place in (places.work, places.files, places.given, places.results):
            place.mkdir()
        willing = replace(limits, script=replace(limits.script, isolation="best_effort"))
        with launched(script, places, 10.0, willing) as (process, report):
            with suppress(subprocess.TimeoutExpired):
                process.wait(10.0)
            # The launcher has the other end no more: what it said is there, or it said nothing.
            os.set_blocking(report, False)
            try:
                news = os.read(report, 65_536)
            except BlockingIOError:
                news = b""
    told = [json.loads(line) for line in news.splitlines()]
    return frozenset(fence for line in told for fence in line.get("fences", ()))


@dataclass(frozen=True, slots=True)
class ScriptPlaces:
    """Where a script finds and leaves things.

    ``files`` are its workspace's, to be read and written though hidden otherwise; ``given`` is read only; what it
    leaves in ``work``'s ``out/`` is copied to ``results``, which it cannot reach itself.
    """

    work: Path
    files: Path
    given: Path
    results: Path


@contextmanager
def launched(
    script: Path, places: ScriptPlaces, timeout_s: float, limits: ToolLimits
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start the launcher on ``script``; on the way out end it and everything it started.

    Answers the launcher and the descriptor that its report comes on. ``timeout_s`` bounds the processor time; the time
    on the clock is the caller's to watch.
    """
    report, report_to = os.pipe()
    try:
        plan = _plan(script, places, report_to, timeout_s, limits)
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", sandbox.__file__, json.dumps(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={},
            cwd=places.work,
            pass_fds=[report_to],
            start_new_session=True,
        )
    except BaseException:
        os.close(report)
        raise
    finally:
        os.close(report_to)
    try:
        yield process, report
    finally:
        _end(process)
        os.close(report)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _plan(
    script: Path, places: ScriptPlaces, report_to: int, timeout_s: float, limits: ToolLimits
) -> dict[str, Any]:
    allowed = limits.script
    return {
        "argv": [sys.executable, "-I", "-B", "-X", "utf8", str(script)],
        "work": str(places.work),
        "workBytes": allowed.file_size,
        "namespaces": allowed.namespaces,
        "denyNetwork": allowed.network == "deny",
        "required": list(required_fences(limits)),
        "hidden": [str(path) for path in (limits.runs_dir, *limits.hidden_paths)],
        "system": [*SYSTEM_PATHS, sys.prefix, sys.base_prefix, *map(str, allowed.readable)],
        "readable": [str(script.parent), str(places.given)],
        "writable": [str(places.files)],
        "given": str(places.given),
        "results": str(places.results),
        "resultBytes": allowed.file_size,
        "resultFiles": allowed.result_files,
        "report": report_to,
        "worker": os.getpid(),
        "limits": {
            "RLIMIT_CPU": int(timeout_s) + 2,
            "RLIMIT_AS": allowed.memory,
            "RLIMIT_FSIZE": allowed.file_size,
            "RLIMIT_NPROC": allowed.processes,
            "RLIMIT_NOFILE": allowed.open_files,
            "RLIMIT_CORE": 0,
        },
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the launcher to end (it ends the script's processes first), then make sure of its whole group."""
    try:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_GRACE_S)
    finally:
        # Also when the worker's own alarm interrupts the wait.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

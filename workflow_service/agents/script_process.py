"""The process of one script, from its start to the certain end of everything it started."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_service.agents import sandbox
from workflow_service.agents.limits import ToolLimits

END_GRACE_S = 2.0


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
        "hidden": [str(path) for path in (limits.runs_dir, *limits.hidden_paths)],
        "readable": [str(script.parent), str(places.given), sys.prefix, sys.base_prefix],
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

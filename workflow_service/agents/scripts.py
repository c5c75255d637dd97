"""SCRIPT: a workflow author's Python in a process of its own, JSON in on stdin and JSON out on stdout.

The script gets nothing of the worker's: an empty environment, a directory of its own that is removed
afterwards, resource limits, and as many of the sandbox's fences as the kernel allows. Whatever way the call
ends, no process of the script and no file of its directory is left.
"""

import json
import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pydantic import JsonValue

from workflow_service.agents.configuration import ScriptConfiguration
from workflow_service.agents.errors import ToolError
from workflow_service.agents.invocation import Invocation, LogLevel, LogLine, ProgressReport
from workflow_service.agents.limits import ToolLimits
from workflow_service.agents.script_files import keep_results, put_files
from workflow_service.agents.script_process import ScriptPlaces, launched
from workflow_service.agents.workspace_files import open_workspace_file, workspace_dir
from workflow_service.engine.json_values import JsonUnfit, load_json
from workflow_service.engine.states import ErrorType

INLINE_NAME = "inline.py"
ARTIFACTS = "artifacts"
MAX_SCRIPT_BYTES = 1024 * 1024
MAX_LOG_LINES = 2_000
MAX_LINE_BYTES = 8_000
MAX_TRACE_BYTES = 16_000
CHUNK_BYTES = 65_536
MAX_PIPE_CHUNKS = 16
# How often a script that says nothing is asked whether it is still wanted.
LOOK_UP_S = 0.5

_LEVEL = re.compile(r"(DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL):[ \t]*")
_PROGRESS = re.compile(r"PROGRESS:[ \t]*(\d{1,3}(?:\.\d{1,9})?)[ \t]*%?(?:[ \t]+(.*))?", re.ASCII)

# What a script says by its exit code, as sysexits.h has it; any other code is a SYSTEM_ERROR.
_TYPE_OF_EXIT_CODE = {
    os.EX_USAGE: ErrorType.CONFIGURATION_ERROR,
    os.EX_DATAERR: ErrorType.VALIDATION_ERROR,
    os.EX_NOINPUT: ErrorType.RESOURCE_NOT_FOUND,
    os.EX_UNAVAILABLE: ErrorType.NETWORK_ERROR,
    os.EX_TEMPFAIL: ErrorType.NETWORK_ERROR,
    os.EX_NOPERM: ErrorType.AUTHORIZATION_ERROR,
    os.EX_CONFIG: ErrorType.CONFIGURATION_ERROR,
}


# What Python exits with after an exception that nobody caught.
UNCAUGHT = 1


@dataclass(frozen=True, slots=True)
class _Fence:
    """A limit of the sandbox, by what the last line of a traceback looks like where a script has met it."""

    trace: re.Pattern[str]
    limit: str
    error_type: ErrorType
    said: str


_PROCESSES = _Fence(
    re.compile(r"BlockingIOError: \[Errno 11\]|can't start new thread"),
    "processes",
    ErrorType.SYSTEM_ERROR,
    "started more processes or threads than a script may have",
)
_FENCES = (
    _PROCESSES,
    _Fence(
        re.compile(r"MemoryError|Cannot allocate memory"),
        "memory",
        ErrorType.SYSTEM_ERROR,
        "needed more memory than the {limits.memory} bytes that a process of a script may have",
    ),
    _Fence(
        re.compile(r"Too many open files"),
        "openFiles",
        ErrorType.SYSTEM_ERROR,
        "opened more files than the {limits.open_files} that a process of a script may have open",
    ),
    _Fence(
        re.compile(r"File too large|No space left on device"),
        "disk",
        ErrorType.SYSTEM_ERROR,
        "wrote more than the {limits.file_size} bytes that a script may write",
    ),
    _Fence(
        re.compile(
            r"\[Errno 1\] Operation not permitted|failure in name resolution|Name or service not known"
        ),
        "network",
        ErrorType.AUTHORIZATION_ERROR,
        "asked for the network, or for a right, that is closed to scripts",
    ),
    _Fence(
        re.compile(r"PermissionError: \[Errno 13\]"),
        "files",
        ErrorType.AUTHORIZATION_ERROR,
        "touched a file that is neither its own nor its workspace's",
    ),
)


def run_script(
    invocation: Invocation, configuration: ScriptConfiguration, tool_input: JsonValue, limits: ToolLimits
) -> JsonValue:
    """Run the script that is named or given and return what it printed; raises ``ToolError``."""
    name, source = _read_source(invocation, configuration, limits)
    files = workspace_dir(limits.files_dir, invocation.workspace_id)
    message = json.dumps({"input": tool_input, "context": _context(invocation, files)}).encode()
    for path in (limits.runs_dir, files):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=limits.runs_dir, ignore_cleanup_errors=True) as directory:
        # A copy, so that what runs is what was read, whoever changes the file meanwhile.
        script = Path(directory, "script", name)
        places = ScriptPlaces(
            Path(directory, "work"), files, Path(directory, "given"), Path(directory, "results")
        )
        for path in (script.parent, places.work, places.given, places.results):
            path.mkdir()
        script.write_bytes(source)
        put_files(invocation, configuration.files, places.given, limits)
        run = _Run(invocation, limits, name)
        with launched(script, places, invocation.timeout_s, limits) as (process, report):
            run.converse(process, report, message)
        return with_results(invocation, run, places.results)


def with_results(invocation: Invocation, run: "_Run", results: Path) -> JsonValue:
    """Return what the script printed, with references to the files it left; raises ``ToolError``."""
    left = any(results.iterdir())
    output = run.output(may_be_silent=left)
    if not left:
        return output
    if not isinstance(output, dict) or ARTIFACTS in output:
        message = f"{run.name} left files in out/; then its output is an object, without '{ARTIFACTS}'"
        raise ToolError(ErrorType.VALIDATION_ERROR, message)
    return output | {ARTIFACTS: keep_results(invocation, results)}


def _read_source(
    invocation: Invocation, configuration: ScriptConfiguration, limits: ToolLimits
) -> tuple[str, bytes]:
    if configuration.script is None:
        name, source = INLINE_NAME, (configuration.code or "").encode("utf-8", "replace")
    else:
        name = Path(configuration.script).name
        pinned = invocation.files.pinned_file("scripts", configuration.script)
        if pinned is not None:
            return name, pinned
        with open_workspace_file(limits.scripts_dir, invocation.workspace_id, configuration.script) as file:
            source = file.read(MAX_SCRIPT_BYTES + 1)
    if len(source) > MAX_SCRIPT_BYTES:
        message = f"the script {name} is larger than {MAX_SCRIPT_BYTES} bytes"
        raise ToolError(ErrorType.CONFIGURATION_ERROR, message)
    return name, source


def _context(invocation: Invocation, files: Path) -> dict[str, JsonValue]:
    return {
        "filesDir": str(files),
        "executionId": invocation.execution_id,
        "blockId": invocation.block_id,
        "idempotencyKey": invocation.idempotency_key,
    }


@dataclass
class _Run:
    """One run of a script: what has come out of it so far."""

    invocation: Invocation
    limits: ToolLimits
    name: str
    stdout: bytearray = field(default_factory=bytearray)
    trace: bytearray = field(default_factory=bytearray)
    line: bytearray = field(default_factory=bytearray)
    lines: int = 0
    report: bytearray = field(default_factory=bytearray)

    def converse(self, process: subprocess.Popen[bytes], report: int, message: bytes) -> None:
        """Feed the script and listen to it until it has ended; raises ``ToolError`` at the timeout."""
        deadline = time.monotonic() + self.invocation.timeout_s
        assert process.stdin is not None  # noqa: S101 (Popen made all three pipes)
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        unsent = memoryview(message)
        with selectors.DefaultSelector() as selector:
            _watch(selector, process.stdin.fileno(), selectors.EVENT_WRITE, None)
            _watch(selector, process.stdout.fileno(), selectors.EVENT_READ, self._hear_stdout)
            _watch(selector, process.stderr.fileno(), selectors.EVENT_READ, self._hear_stderr)
            # The report closes when the launcher has ended; who may still hold the others is not waited for.
            _watch(selector, report, selectors.EVENT_READ, self.report.extend)
            while report in selector.get_map():
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise self._timed_out()
                if self.invocation.stopped():
                    raise ToolError(ErrorType.SYSTEM_ERROR, f"{self.name} was stopped: its run was cancelled")
                for key, _ in selector.select(min(remaining, LOOK_UP_S)):
                    if key.data is None:
                        unsent = _send(selector, process.stdin, unsent)
                    else:
                        _receive(selector, key.fd, key.data)
            _drain(selector)
        self._end_line()

    def output(self, *, may_be_silent: bool = False) -> JsonValue:
        """Return the JSON that the script printed, if it ended well; raises ``ToolError``."""
        told: dict[str, Any] = {}
        for news in self.report.splitlines():
            told |= json.loads(news)
        if "missing" in told:
            raise ToolError(
                ErrorType.CONFIGURATION_ERROR,
                f"{self.name} was not started: this machine's kernel has no fence for {', '.join(told['missing'])}; "
                "an operator can run scripts all the same with SCRIPT_ISOLATION=best_effort",
                details={"missingFences": told["missing"]},
            )
        if self.limits.script.network == "deny" and "network" not in told.get("fences", ["network"]):
            self.invocation.log(
                LogLine("WARNING", "this machine's kernel cannot cut scripts off from the network")
            )
        exit_code = told.get("exit")
        if exit_code != 0:
            raise self._failed(exit_code)
        if "refused" in told:
            message = f"the files that {self.name} left in out/ cannot be kept: {told['refused']}"
            raise ToolError(ErrorType.VALIDATION_ERROR, message)
        if not self.stdout.strip():
            if may_be_silent:
                return {}
            raise ToolError(
                ErrorType.VALIDATION_ERROR,
                f"{self.name} printed nothing; a script prints its output as one JSON document",
            )
        try:
            return load_json(bytes(self.stdout), max_bytes=self.limits.max_output_bytes)
        except JsonUnfit as error:
            start = bytes(self.stdout[:200]).decode("utf-8", "replace")
            raise ToolError(
                ErrorType.VALIDATION_ERROR,
                f"{self.name} printed what cannot be its output ({error.message}); "
                "a script prints its output as one JSON document and logs to stderr",
                details={"stdoutStart": start},
                problems=error.problems,
            ) from None

    def _hear_stdout(self, chunk: bytes) -> None:
        self.stdout += chunk
        if len(self.stdout) > self.limits.max_output_bytes:
            raise ToolError(
                ErrorType.VALIDATION_ERROR,
                f"{self.name} printed more than {self.limits.max_output_bytes} bytes",
            )

    def _hear_stderr(self, chunk: bytes) -> None:
        self.trace += chunk
        del self.trace[:-MAX_TRACE_BYTES]
        head, newline, tail = chunk.rpartition(b"\n")
        if not newline:
            self._extend_line(tail)
            return
        first, *others = head.split(b"\n")
        self._extend_line(first)
        for text in others:
            self._end_line()
            self._extend_line(text)
        self._end_line()
        self._extend_line(tail)

    def _extend_line(self, text: bytes) -> None:
        self.line += text[: max(0, MAX_LINE_BYTES - len(self.line))]

    def _end_line(self) -> None:
        text = self.line.decode("utf-8", "replace").rstrip()
        self.line.clear()
        if report := _progress(text):
            self.invocation.progress(report)
            return
        if not text or self.lines > MAX_LOG_LINES:
            return
        self.lines += 1
        if self.lines > MAX_LOG_LINES:
            dropped = f"{self.name} logs more than {MAX_LOG_LINES} lines; the rest is dropped"
            self.invocation.log(LogLine("WARNING", dropped))
            return
        self.invocation.log(_log_line(text))

    def _timed_out(self) -> ToolError:
        return ToolError(
            ErrorType.TIMEOUT_ERROR,
            f"{self.name} did not end within {self.invocation.timeout_s:g} s and was stopped",
            stack_trace=self._trace(),
        )

    def _failed(self, exit_code: int | None) -> ToolError:
        last = self._trace().rstrip().rpartition("\n")[2]
        error_type = _TYPE_OF_EXIT_CODE.get(exit_code or 0, ErrorType.SYSTEM_ERROR)
        details: dict[str, JsonValue] = {"exitCode": exit_code}
        ending = _ending(exit_code)
        met = _fence_met(self._trace(), last) if exit_code == UNCAUGHT else None
        if met is not None:
            fence, last = met
            error_type = fence.error_type
            details["limit"] = fence.limit
            ending = fence.said.format(limits=self.limits.script)
        return ToolError(
            error_type,
            f"{self.name} {ending}" + (f": {last}" if last else ""),
            details=details,
            stack_trace=self._trace(),
        )

    def _trace(self) -> str:
        return self.trace.decode("utf-8", "replace")


def _fence_met(trace: str, last_line: str) -> tuple[_Fence, str] | None:
    """Return the fence that a script has met, and the line that says so."""
    for fence in _FENCES:
        if fence.trace.search(last_line):
            return fence, last_line
    # Processes by the dozen all say at once that there can be no more: the last line may be any of theirs.
    lines = [line for line in trace.splitlines() if _PROCESSES.trace.search(line)]
    return (_PROCESSES, lines[-1]) if lines else None


def _ending(exit_code: int | None) -> str:
    if exit_code is None or exit_code == -signal.SIGKILL:
        return "was killed, perhaps because it needed too much memory or processor time"
    if exit_code < 0:
        return f"was ended by signal {-exit_code} ({signal.strsignal(-exit_code)})"
    return f"ended with exit code {exit_code}"


def _progress(text: str) -> ProgressReport | None:
    """Read ``PROGRESS: 40 message``; what is no percentage stays a line of the log."""
    match = _PROGRESS.fullmatch(text)
    if match is None or float(match[1]) > 100:
        return None
    return ProgressReport(float(match[1]), match[2] or "")


def _log_line(text: str) -> LogLine:
    level: LogLevel = "INFO"
    if match := _LEVEL.match(text):
        word = match[1]
        level = "WARNING" if word == "WARN" else word  # type: ignore[assignment]
        text = text[match.end() :] or text
    return LogLine(level, text)


def _watch(selector: selectors.BaseSelector, descriptor: int, event: int, data: Any) -> None:
    os.set_blocking(descriptor, False)
    selector.register(descriptor, event, data)


def _send(selector: selectors.BaseSelector, pipe: IO[bytes], unsent: memoryview) -> memoryview:
    with suppress(BrokenPipeError):
        unsent = unsent[os.write(pipe.fileno(), unsent[:CHUNK_BYTES]) :]
        if unsent:
            return unsent
    # Sent, or the script does not read its input: that is its own affair.
    selector.unregister(pipe.fileno())
    pipe.close()
    return unsent


def _receive(selector: selectors.BaseSelector, descriptor: int, hear: Any) -> bool:
    try:
        chunk = os.read(descriptor, CHUNK_BYTES)
    except BlockingIOError:
        return False
    if chunk:
        hear(chunk)
    else:
        selector.unregister(descriptor)
    return bool(chunk)


def _drain(selector: selectors.BaseSelector) -> None:
    """Take what a pipe can still hold, without waiting for who may keep it open."""
    for key in list(selector.get_map().values()):
        for _ in range(MAX_PIPE_CHUNKS):
            if key.data is None or not _receive(selector, key.fd, key.data):
                break

"""What goes into a script, what comes out of it, and what its ways to fail become."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.script_runner import ScriptRunner
from workflow_service.agents.invocation import ProgressReport
from workflow_service.agents.scripts import MAX_LOG_LINES
from workflow_service.engine.states import ErrorType

ECHO = "import json, sys; print(json.dumps(json.load(sys.stdin)))"

Write = Callable[[str, str], Path]


@pytest.fixture
def run(tmp_path: Path) -> ScriptRunner:
    return ScriptRunner(tmp_path, namespaces=True)


@pytest.fixture
def write_script(tmp_path: Path) -> Write:
    def write(name: str, code: str) -> Path:
        path = tmp_path / "scripts" / "ws_1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        return path

    return write


def test_json_goes_in_and_comes_out(run: ScriptRunner) -> None:
    answer = run(configuration={"code": ECHO, "input": {"rows": [1, "ä", None]}}, idempotency_key="k1")
    assert answer["input"] == {"rows": [1, "ä", None]}
    files = str(run.directory / "files" / "ws_1")
    assert answer["context"] == {
        "executionId": "exec_1",
        "blockId": "block_1",
        "idempotencyKey": "k1",
        "filesDir": files,
    }
    assert run.runs == []


def test_a_file_of_the_workspace_gets_the_keys_left_over(run: ScriptRunner, write_script: Write) -> None:
    write_script(
        "etl/extract.py", "import json, sys\nprint(json.dumps([json.load(sys.stdin)['input'], __file__]))"
    )
    given, file = run(configuration={"script": "etl/extract.py", "sources": ["a", "b"]})
    assert given == {"sources": ["a", "b"]}
    assert file.endswith("/extract.py")


@pytest.mark.parametrize(
    "name", ["../ws_2/x.py", "/etc/hostname", "link.py", "no.py", "etl", "..", "a\x00.py"]
)
def test_no_name_leads_out_of_the_workspace(run: ScriptRunner, write_script: Write, name: str) -> None:
    write_script("etl/a.py", "print(1)")
    outside = run.directory / "scripts" / "ws_2" / "x.py"
    outside.parent.mkdir()
    outside.write_text("print('secret')")
    (run.directory / "scripts" / "ws_1" / "link.py").symlink_to(outside)
    error = run.failure(configuration={"script": name})
    assert error.error_type == ErrorType.RESOURCE_NOT_FOUND
    # What Postgres cannot keep is shown as Python writes it.
    assert error.details == {"name": name if name.isprintable() else repr(name)}


def test_a_workspace_id_is_no_path(run: ScriptRunner) -> None:
    error = run.failure(configuration={"script": "x.py"}, workspace_id="../ws_1")
    assert error.error_type == ErrorType.CONFIGURATION_ERROR


def test_stderr_becomes_log_lines_with_levels(run: ScriptRunner) -> None:
    code = (
        "import sys, logging\n"
        "print('plain\\n\\nWARNING: careful\\nERROR:root:broken', file=sys.stderr)\n"
        "logging.warning('from logging')\n"
        "sys.stderr.write('WARN: x' + 'y' * 20_000 + '\\nlast')\n"
        "sys.stderr.flush()\n"
        "sys.stderr.buffer.write(b'\\xff\\x00')\n"
        "print('{}')\n"
    )
    assert run(code) == {}
    lines = [(line.level, line.message) for line in run.logs]
    assert lines[:4] == [
        ("INFO", "plain"),
        ("WARNING", "careful"),
        ("ERROR", "root:broken"),
        ("WARNING", "root:from logging"),
    ]
    level, message = lines[4]
    assert level == "WARNING"
    assert len(message) <= 8_000
    assert lines[5] == ("INFO", "last\ufffd\ufffd")


def test_a_flood_of_log_lines_is_cut(run: ScriptRunner) -> None:
    assert run("import sys\nfor n in range(50_000): print(n, file=sys.stderr)\nprint(1)") == 1
    assert len(run.logs) == MAX_LOG_LINES + 1
    assert run.logs[-1].level == "WARNING"
    assert "the rest is dropped" in run.logs[-1].message


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("pass", "printed nothing"),
        ("print('starting'); print('{}')", "is not JSON"),
        ("print('[1, NaN]')", "NaN is not a JSON number"),
        ('print(\'{"a": "\\\\u0000"}\')', "/a: holds the character U+0000"),
        ("print('[' * 5000 + ']' * 5000)", "nested deeper than 100"),
        ("import sys; sys.stdout.buffer.write(b'\"\\xff\"')", "not UTF-8"),
    ],
)
def test_stdout_must_be_one_json_document(run: ScriptRunner, code: str, said: str) -> None:
    error = run.failure(code)
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert said in error.message
    assert not error.retryable


def test_an_endless_output_is_stopped(run: ScriptRunner) -> None:
    error = run.failure("while True: print('x' * 100_000)", limits={"max_output_bytes": 1_000_000})
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert "printed more than 1000000 bytes" in error.message
    assert run.runs == []


def test_an_endless_error_output_ends_with_the_script(run: ScriptRunner) -> None:
    error = run.failure("import sys\nwhile True: print('x' * 1000, file=sys.stderr)", timeout_s=1.0)
    assert error.error_type == ErrorType.TIMEOUT_ERROR


@pytest.mark.parametrize(
    ("code", "error_type", "said"),
    [
        (
            "1 / 0",
            ErrorType.SYSTEM_ERROR,
            "inline.py ended with exit code 1: ZeroDivisionError: division by zero",
        ),
        ("import sys; sys.exit('no rows')", ErrorType.SYSTEM_ERROR, "exit code 1: no rows"),
        ("import sys; sys.exit(64)", ErrorType.CONFIGURATION_ERROR, "exit code 64"),
        ("import sys; sys.exit(65)", ErrorType.VALIDATION_ERROR, "exit code 65"),
        ("import sys; sys.exit(66)", ErrorType.RESOURCE_NOT_FOUND, "exit code 66"),
        ("import sys; sys.exit(69)", ErrorType.NETWORK_ERROR, "exit code 69"),
        ("import sys; sys.exit(75)", ErrorType.NETWORK_ERROR, "exit code 75"),
        ("import sys; sys.exit(77)", ErrorType.AUTHORIZATION_ERROR, "exit code 77"),
        ("import sys; sys.exit(78)", ErrorType.CONFIGURATION_ERROR, "exit code 78"),
        (
            "import os; os.kill(os.getpid(), 11)",
            ErrorType.SYSTEM_ERROR,
            "ended by signal 11 (Segmentation fault)",
        ),
        ("import os; os.kill(os.getpid(), 9)", ErrorType.SYSTEM_ERROR, "was killed"),
        ("def broken(:", ErrorType.SYSTEM_ERROR, "SyntaxError"),
    ],
)
def test_how_a_script_ends_says_what_went_wrong(
    run: ScriptRunner, code: str, error_type: ErrorType, said: str
) -> None:
    error = run.failure(code)
    assert (error.error_type, said in error.message) == (error_type, True), error.message


def test_the_traceback_of_a_script_is_kept(run: ScriptRunner) -> None:
    error = run.failure("def load():\n    raise KeyError('stock')\nload()")
    assert "line 2, in load\n    raise KeyError" in error.stack_trace
    assert error.details["exitCode"] == 1


def test_a_script_need_not_read_its_input(run: ScriptRunner) -> None:
    assert run(configuration={"code": "print(1)", "input": "x" * 2_000_000}) == 1


def test_a_large_input_and_a_large_output_do_not_block_each_other(run: ScriptRunner) -> None:
    code = "import json, sys\ntext = json.load(sys.stdin)['input']\nprint(json.dumps(text))"
    text = "x" * 3_000_000
    assert run(configuration={"code": code, "input": text}) == text


def test_a_script_that_is_too_large_is_refused(run: ScriptRunner, write_script: Write) -> None:
    write_script("big.py", "#" * (1024 * 1024) + "\n")
    error = run.failure(configuration={"script": "big.py"})
    assert error.error_type == ErrorType.CONFIGURATION_ERROR
    assert "larger than 1048576 bytes" in error.message


def test_a_script_cannot_be_named_like_its_directories(run: ScriptRunner, write_script: Write) -> None:
    write_script("work", "print(1)")
    write_script("script", "print(2)")
    assert run(configuration={"script": "work"}) == 1
    assert run(configuration={"script": "script"}) == 2


def test_progress_is_said_on_stderr_and_is_no_log_line(run: ScriptRunner) -> None:
    reports: list[ProgressReport] = []
    code = """
import sys
for line in ("PROGRESS: 40 half of it", "PROGRESS:99.95%", "PROGRESS: 101 too much", "PROGRESS: soon", "a line"):
    print(line, file=sys.stderr)
print(1)
"""
    assert run(code, progress=reports.append) == 1
    assert reports == [ProgressReport(40, "half of it"), ProgressReport(100.0)]
    lines = [line.message for line in run.logs]
    assert lines == ["PROGRESS: 101 too much", "PROGRESS: soon", "a line"]

"""Files that scripts are given and those they leave, with every fence the kernel has and without namespaces."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.memory_files import MemoryFiles
from tests.script_runner import ScriptRunner
from workflow_service.engine.states import ErrorType


@pytest.fixture(params=[True, False], ids=["namespaces", "none"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ScriptRunner]:
    runner = ScriptRunner(tmp_path, namespaces=request.param)
    yield runner
    assert runner.runs == []


def script(code: str, **files: Any) -> dict[str, Any]:
    return {"code": code, "files": files}


READS_AND_WRITES = """
import json, os
rows = open("sales.csv").read().splitlines()
more = open("in/more.txt").read()
os.mkdir("out/parts")
open("out/parts/count.txt", "w").write(str(len(rows)))
open("out/copy.csv", "w").write("\\n".join(rows))
print(json.dumps({"rows": len(rows), "more": more}))
"""


def test_files_come_by_name_and_go_by_reference(run: ScriptRunner) -> None:
    store = MemoryFiles()
    sales = store.save("x.csv", open_bytes(b"a\n1\n2"), "text/csv")
    home = run.directory / "files" / "ws_1"
    home.mkdir(parents=True)
    home.joinpath("more.txt").write_text("more")
    configuration = {
        "code": READS_AND_WRITES,
        "files": {"sales.csv": sales.model_dump(mode="json"), "in/more.txt": "more.txt"},
    }
    output = run(configuration=configuration, files=store)
    assert (output["rows"], output["more"]) == (3, "more")
    assert sorted(output["artifacts"]) == ["copy.csv", "parts/count.txt"]
    assert store.text(output["artifacts"]["parts/count.txt"]) == "3"
    assert store.text(output["artifacts"]["copy.csv"]) == "a\n1\n2"


def test_a_script_may_leave_files_and_say_nothing(run: ScriptRunner) -> None:
    output = run('open("out/a.txt", "w").write("x")', files=MemoryFiles())
    assert list(output) == ["artifacts"]
    assert run('print("[1]")', files=MemoryFiles()) == [1]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ('import os; os.symlink("/etc/passwd", "out/a"); print("{}")', "no file"),
        ('import os; os.mkfifo("out/a"); print("{}")', "no file"),
        ('import os; os.rmdir("out"); os.symlink("/etc", "out"); print("{}")', "cannot be kept"),
        ('open("out/a\\nb", "w"); print("{}")', "holds a character"),
        ('open("out/a", "w"); print("[]")', "output is an object"),
        ('open("out/a", "w"); print(\'{"artifacts": 1}\')', "output is an object"),
        ('[open(f"out/{n}", "w") for n in range(9)]; print("{}")', "more files and folders than it may"),
        (
            'import os; [os.mkdir(f"out/{n}") for n in range(9)]; print("{}")',
            "more files and folders than it may",
        ),
    ],
)
def test_what_cannot_be_kept_is_told(run: ScriptRunner, code: str, message: str) -> None:
    limits = {"result_files": 5, "file_size": 100_000}
    error = run.failure(code, files=MemoryFiles(), script_limits=limits)
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert message in error.message


def test_files_are_bounded_together(run: ScriptRunner) -> None:
    code = 'open("out/a", "w").write("x" * 70_000); open("out/b", "w").write("x" * 70_000)'
    error = run.failure(code, files=MemoryFiles(), script_limits={"file_size": 100_000})
    # In a namespace the directory itself has no more room.
    assert "more bytes than it may" in error.message or "No space left" in error.message


def test_given_files_cannot_be_changed_and_must_be_there(run: ScriptRunner) -> None:
    store = MemoryFiles()
    given = store.save("a", open_bytes(b"a"), "").artifact_id
    writes = script('open("a.txt", "w").write("x"); print("{}")', **{"a.txt": given})
    assert "ermission" in run.failure(configuration=writes, files=store).message
    missing = script('print("{}")', **{"a.txt": "art_none"})
    assert run.failure(configuration=missing, files=store).error_type == ErrorType.RESOURCE_NOT_FOUND
    for name in ("../a", "/a", "out/a"):
        bad = script('print("{}")', **{name: given})
        assert run.failure(configuration=bad, files=store).error_type == ErrorType.CONFIGURATION_ERROR
    large = script('print("{}")', a=store.save("b", open_bytes(b"x" * 2_000), "").artifact_id)
    error = run.failure(configuration=large, files=store, script_limits={"file_size": 1_000})
    assert "larger than 1000 bytes together" in error.message


def open_bytes(content: bytes) -> Any:
    return BytesIO(content)

"""The extraction script, run as the service runs it: a process, JSON in, JSON out, log lines on standard error."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from examples.sales_etl import generate_sales

SCRIPT = Path(generate_sales.__file__).with_name("scripts") / "extract_sales.py"


@dataclass
class Extraction:
    exit_code: int
    output: dict[str, Any]
    rows: list[dict[str, Any]]
    log: str


def extract(files: Path, content: bytes | None, csv_path: str = "sales.csv") -> Extraction:
    if content is not None:
        (files / csv_path).write_bytes(content)
    request = {
        "input": {"csvPath": csv_path, "outputDirectory": "runs/one"},
        "context": {"filesDir": str(files)},
    }
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT)], input=json.dumps(request), capture_output=True, text=True, env={}
    )
    output = json.loads(done.stdout) if done.stdout else {}
    extracted = files / "runs/one/extracted.jsonl"
    rows = [json.loads(line) for line in extracted.read_text().splitlines()] if extracted.exists() else []
    return Extraction(done.returncode, output, rows, done.stderr)


def test_every_row_of_a_dirty_file_is_kept(tmp_path: Path) -> None:
    generate_sales.main(["--rows", "1000", "--output", str(tmp_path / "sales.csv"), "--dirt", "0.1"])
    done = extract(tmp_path, None)
    assert (done.exit_code, done.output["recordCount"], len(done.rows)) == (0, 1_000, 1_000)
    assert done.output["extractedPath"] == str(tmp_path / "runs/one/extracted.jsonl")
    assert done.output["columns"] == list(generate_sales.COLUMNS)
    assert [row["line"] for row in done.rows] == list(range(2, 1_002))
    assert done.output["unreadableRows"] == sum(row["problem"] is not None for row in done.rows) > 0
    assert "INFO: 1000 rows; " in done.log
    assert os.listdir(tmp_path / "runs/one") == ["extracted.jsonl"]


@pytest.mark.parametrize(
    ("name", "lines", "rows"),
    [
        ("byte order mark", b"\xef\xbb\xbfa,b\n1,2\n", [{"a": "1", "b": "2"}]),
        ("header tidied", b" A , B\n1,2\n", [{"a": "1", "b": "2"}]),
        ("Windows line ends", b"a,b\r\n1,2\r\n", [{"a": "1", "b": "2"}]),
        (
            "latin-1 bytes in UTF-8",
            "a,b\nü,2\n".encode() + b"\xfc,3\n",
            [{"a": "ü", "b": "2"}, {"a": "ü", "b": "3"}],
        ),
        ("quoted line break", b'a,b\n"1\n2",3\n4,5\n', [{"a": "1\n2", "b": "3"}, {"a": "4", "b": "5"}]),
        ("blank lines", b"a,b\n\n1,2\n\n", [{"a": "1", "b": "2"}]),
        ("only commas", b"a,b\n,\n", [{"a": "", "b": ""}]),
        ("no last line end", b"a,b\n1,2", [{"a": "1", "b": "2"}]),
    ],
)
def test_readable_rows(tmp_path: Path, name: str, lines: bytes, rows: list[dict[str, str]]) -> None:
    done = extract(tmp_path, lines)
    assert done.exit_code == 0
    assert [row["values"] for row in done.rows] == rows
    assert [row["problem"] for row in done.rows] == [None] * len(rows)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"1", "1 fields where the header has 2"),
        (b"1,2,3", "3 fields where the header has 2"),
        (b"\x81\x8d,2", "byte 0x81 at offset 0 is neither UTF-8 nor Windows-1252"),
        (b"a\x00b,2", "the line holds control characters"),
        (b"1\r2,3", "a carriage return in mid-line"),
        (b'1,"two', "a quote is opened and never closed"),
        (b"1," + b"x" * 70_000, "the line is longer than 65536 bytes"),
    ],
)
def test_an_unreadable_row_is_kept_with_its_problem_and_spoils_no_other(
    tmp_path: Path, line: bytes, problem: str
) -> None:
    done = extract(tmp_path, b"a,b\n1,2\n" + line + b"\n3,4\n")
    assert done.exit_code == 0
    assert [row["problem"] for row in done.rows] == [None, problem, None]
    assert [row["line"] for row in done.rows] == [2, 3, 4]
    assert done.rows[2]["values"] == {"a": "3", "b": "4"}
    assert done.output["unreadableRows"] == 1
    assert f"WARNING: line 3: {problem}" in done.log


def test_a_quote_closed_by_a_later_row_does_not_swallow_the_rows_between(tmp_path: Path) -> None:
    done = extract(tmp_path, b'a,b\n1,"lost\n2,x\n3,"y, z"\n4,w\n')
    assert [row["problem"] is None for row in done.rows] == [False, True, True, True]
    assert [row["values"]["a"] for row in done.rows] == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("content", "exit_code", "message"),
    [
        (None, os.EX_NOINPUT, "No such file or directory"),
        (b"", os.EX_DATAERR, "the file is empty"),
        (b"a,a\n1,2\n", os.EX_DATAERR, "line 1: the header must name each column once"),
        (b"a,,b\n1,2,3\n", os.EX_DATAERR, "line 1: the header must name each column once"),
    ],
)
def test_a_file_without_rows_to_read_is_refused(
    tmp_path: Path, content: bytes | None, exit_code: int, message: str
) -> None:
    done = extract(tmp_path, content)
    assert (done.exit_code, done.output, done.rows) == (exit_code, {}, [])
    assert message in done.log
    assert not list(tmp_path.glob("runs/one/*"))


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    extract(tmp_path, b"a,b\n1,2\n3,4\n")
    done = extract(tmp_path, b"a,b\n5,6\n")
    assert [row["values"]["a"] for row in done.rows] == ["5"]

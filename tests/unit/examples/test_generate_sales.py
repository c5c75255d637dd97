"""The generator of sales: the same file for the same seed, and exactly as much dirt as it says."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.sales_etl import generate_sales
from examples.sales_etl.generate_sales import BAD, DUPLICATES, UNTIDY, main, make_sales
from tests.unit.examples.independent_count import count_valid_sales


def write(path: Path, **options: str) -> dict[str, object]:
    truth = path.with_suffix(".json")
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    assert main(["--output", str(path), "--truth", str(truth), *arguments]) == 0
    read: dict[str, object] = json.loads(truth.read_text())
    return read


def test_the_same_seed_gives_the_same_file_in_any_process(tmp_path: Path) -> None:
    write(tmp_path / "here.csv", rows="500", seed="7")
    there = tmp_path / "there.csv"
    command = [
        sys.executable,
        generate_sales.__file__,
        "--rows",
        "500",
        "--seed",
        "7",
        "--output",
        str(there),
    ]
    # Another hash seed: the order of sets must not show.
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": "4"})
    write(tmp_path / "other.csv", rows="500", seed="8")
    assert (tmp_path / "here.csv").read_bytes() == there.read_bytes()
    assert (tmp_path / "here.csv").read_bytes() != (tmp_path / "other.csv").read_bytes()


@pytest.mark.parametrize(
    ("rows", "dirt", "untidy", "bad"),
    [
        ("2000", "0.03", "0.05", 60),
        ("2000", "0.01", "0", 20),
        ("300", "0", "0", 0),
        ("1000", "0.4", "0.4", 400),
    ],
)
def test_the_truth_is_what_a_sceptic_counts(
    tmp_path: Path, rows: str, dirt: str, untidy: str, bad: int
) -> None:
    path = tmp_path / "sales.csv"
    truth = write(path, rows=rows, dirt=dirt, untidy=untidy)
    valid, cents = count_valid_sales(path)
    assert truth["bad_rows"] == bad
    assert truth["valid_rows"] == valid == int(rows) - bad
    assert truth["revenue"] == f"{cents / 100:.2f}"
    assert path.read_bytes().count(b"\n") == int(rows) + 1


def test_a_little_dirt_is_of_every_kind() -> None:
    rows, truth = make_sales(2_000, dirt=0.02, untidy=0.02, seed=1)
    assert all(truth.bad.values())
    assert all(truth.untidy.values())
    assert {row.kind for row in rows} == {"clean", *BAD, *UNTIDY, *DUPLICATES}


def test_the_file_holds_what_its_kinds_promise() -> None:
    rows, _ = make_sales(3_000, dirt=0.05, untidy=0.05, seed=3)
    lines = {row.kind: row.line() for row in rows}
    assert b"\x81" in lines["corrupt_bytes"]
    assert lines["windows_line_end"].endswith(b"\r\n")
    assert lines["truncated_line"].count(b",") < 8
    with pytest.raises(UnicodeDecodeError):
        lines["latin_1_bytes"].decode()
    assert "Ã" in lines["encoded_twice"].decode()
    assert "€" in lines["foreign_currency"].decode()
    cells = next(csv.reader(io.StringIO(lines["impossible_date"].decode())))
    assert cells[1] in ("2025-13-45", "2025-02-30", "2025-00-10", "0000-00-00")


@pytest.mark.parametrize(
    "arguments", [["--rows", "0"], ["--dirt", "2"], ["--rows", "many"], ["--untidy", "-0.1"], []]
)
def test_arguments_out_of_range_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    output = ["--output", "never-written.csv"] if arguments else []
    with pytest.raises(SystemExit) as refused:
        main([*arguments, *output])
    assert refused.value.code == 2
    assert "error:" in capsys.readouterr().err
    assert not Path("never-written.csv").exists()

"""Read a CSV of sales into JSON lines, losing nothing: what cannot be read is kept with its problem.

Standard input is ``{"input": {"csvPath", "outputDirectory"}, "context": {"filesDir", …}}``, the paths relative to
the workspace's files; standard output is the answer; log lines go to standard error, and the exit code says what
kind of error it was (sysexits.h). Each line of the result is ``{"line", "values", "problem", "mended"}``, ``line``
being where the row begins in the CSV. The result appears whole or not at all, so running again is harmless.
"""

import csv
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

MAX_LINE_BYTES = 64 * 1024
MAX_RECORD_LINES = 20
MAX_LOGGED = 20
EXIT_CODES = {
    FileNotFoundError: os.EX_NOINPUT,
    PermissionError: os.EX_NOPERM,
    IsADirectoryError: os.EX_NOINPUT,
}
CONTROL_CHARACTERS = frozenset(map(chr, [*range(9), 11, 12, *range(14, 32), 127]))


class Line(NamedTuple):
    """One line of the file as text. ``problem`` says why the row it belongs to cannot be used."""

    number: int
    text: str
    problem: str | None
    mended: bool


class Record(NamedTuple):
    """One row: where it begins, its fields, why it cannot be used, whether its text had to be mended."""

    line: int
    fields: list[str]
    problem: str | None
    mended: bool


def log(level: str, message: str) -> None:
    sys.stderr.write(f"{level}: {message}\n")


def stop(message: str, exit_code: int) -> NoReturn:
    log("ERROR", message)
    raise SystemExit(exit_code)


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """Yield the lines of the file; an over-long one is cut, and named as a problem."""
    number = 0
    while raw := file.readline(MAX_LINE_BYTES):
        number += 1
        too_long = len(raw) == MAX_LINE_BYTES and not raw.endswith(b"\n")
        while too_long and (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
            pass
        text, problem, mended = decode(raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw)
        if too_long:
            problem = f"the line is longer than {MAX_LINE_BYTES} bytes"
        elif problem is None and not CONTROL_CHARACTERS.isdisjoint(text):
            problem = "the line holds control characters"
        yield Line(number, text, problem, mended)


def decode(raw: bytes) -> tuple[str, str | None, bool]:
    """Return text, problem, and whether it was mended: UTF-8, else Windows-1252 (which extends latin-1)."""
    try:
        return raw.decode("utf-8"), None, False
    except UnicodeDecodeError:
        pass
    try:
        return raw.decode("cp1252"), None, True
    except UnicodeDecodeError as error:
        place = f"byte 0x{raw[error.start]:02x} at offset {error.start}"
        return raw.decode("utf-8", "replace"), f"{place} is neither UTF-8 nor Windows-1252", False


def read_records(lines: Iterator[Line]) -> Iterator[Record]:
    """Yield the rows. Quoted fields may hold line breaks; a quote never closed spoils one line only."""
    waiting: list[Line] = []
    width: int | None = None
    while True:
        while not waiting or is_open(waiting):
            following = next(lines, None) if len(waiting) < MAX_RECORD_LINES else None
            if following is None:
                break
            waiting.append(following)
        if not waiting:
            return
        record, used = cut_record(waiting, width)
        del waiting[:used]
        if record.fields:
            width = width or len(record.fields)
            yield record


def is_open(lines: list[Line]) -> bool:
    return sum(line.text.count('"') for line in lines) % 2 == 1


def cut_record(lines: list[Line], width: int | None) -> tuple[Record, int]:
    """Return the row that begins the lines, and how many of them it takes.

    Lines are joined only if that gives exactly the row that is expected; else the first stands alone.
    """
    first = lines[0]
    used = next((count for count in range(1, len(lines) + 1) if not is_open(lines[:count])), 0)
    if used > 1:
        fields = parse([line.text for line in lines[:used]], strict=True)
        if fields and len(fields) == width:
            problem = next((line.problem for line in lines[:used] if line.problem), None)
            return Record(first.number, fields, problem, any(line.mended for line in lines[:used])), used
    fields = parse([first.text], strict=False) if used == 1 else None
    if fields is not None:
        return Record(first.number, fields, first.problem, first.mended), 1
    problem = first.problem or (
        "a carriage return in mid-line" if used == 1 else "a quote is opened and never closed"
    )
    return Record(first.number, first.text.rstrip("\r\n").split(","), problem, first.mended), 1


def parse(lines: list[str], *, strict: bool) -> list[str] | None:
    """Return the fields of one row, none for a blank line; None if the lines are not one row."""
    try:
        rows = list(csv.reader(lines, strict=strict))
    except csv.Error:
        return None
    if len(rows) != 1:
        return None
    return [] if len(rows[0]) == 1 and not rows[0][0].strip() else rows[0]


def as_row(record: Record, columns: list[str]) -> dict[str, object]:
    """Return the row as it is written: cells by column name, what is too much under ``""``."""
    problem = record.problem
    if problem is None and len(record.fields) != len(columns):
        problem = f"{len(record.fields)} fields where the header has {len(columns)}"
    values: dict[str, object] = dict(zip(columns, record.fields, strict=False))
    if len(record.fields) > len(columns):
        values[""] = record.fields[len(columns) :]
    return {"line": record.line, "values": values, "problem": problem, "mended": record.mended}


def read_header(records: Iterator[Record]) -> list[str]:
    header = next(records, None)
    if header is None:
        stop("the file is empty: the first line must name the columns", os.EX_DATAERR)
    columns = [name.strip().lower() for name in header.fields]
    if header.problem or "" in columns or len(set(columns)) != len(columns):
        stop(
            f"line {header.line}: the header must name each column once; it reads {header.fields}",
            os.EX_DATAERR,
        )
    return columns


def extract(csv_path: Path, directory: Path) -> dict[str, object]:
    """Write ``extracted.jsonl`` into ``directory`` and return its figures."""
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / "extracted.jsonl"
    partial = directory / f".extracted.jsonl.{os.getpid()}.partial"
    seen: Counter[str] = Counter()
    try:
        with csv_path.open("rb") as source, partial.open("w", encoding="utf-8") as sink:
            records = read_records(read_lines(source))
            columns = read_header(records)
            for record in records:
                row = as_row(record, columns)
                seen.update(rows=1, unreadable=row["problem"] is not None, mended=record.mended)
                if row["problem"] and seen["unreadable"] <= MAX_LOGGED:
                    log("WARNING", f"line {record.line}: {row['problem']}")
                sink.write(json.dumps(row, ensure_ascii=False) + "\n")
            sink.flush()
            os.fsync(sink.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return {
        "recordCount": seen["rows"],
        "extractedPath": str(target),
        "columns": columns,
        "unreadableRows": seen["unreadable"],
        "reencodedRows": seen["mended"],
    }


def main() -> None:
    """Read the request, extract, answer."""
    request = json.load(sys.stdin)
    given, files = request["input"], Path(request["context"]["filesDir"])
    csv_path, directory = files / given["csvPath"], files / given["outputDirectory"]
    log("INFO", f"reading {csv_path}")
    try:
        answer = extract(csv_path, directory)
    except OSError as error:
        exit_code = EXIT_CODES.get(type(error), os.EX_IOERR)
        stop(f"{error.filename or csv_path}: {error.strerror}", exit_code)
    unreadable, rows = answer["unreadableRows"], answer["recordCount"]
    log("INFO", f"{rows} rows; {unreadable} unreadable, {answer['reencodedRows']} were not in UTF-8")
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()

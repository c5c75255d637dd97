"""The files of a run: JSON lines, written whole or not at all, so that a block may run again at any point."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple


class RawRow(NamedTuple):
    """A row as it was extracted. ``problem`` says why it cannot be read, if it cannot."""

    line: int
    values: dict[str, str]
    problem: str | None
    mended: bool


def read_objects(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file; raises ``FileNotFoundError``, or ``ValueError`` naming the bad line."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error


def read_rows(path: Path) -> Iterator[RawRow]:
    """Yield the extracted rows in the order of the CSV."""
    for row in read_objects(path):
        yield RawRow(row["line"], row["values"], row["problem"], row["mended"])


def write_objects(path: Path, objects: Iterable[Mapping[str, Any]]) -> int:
    """Write one object a line; return how many."""
    count = 0

    def lines() -> Iterator[str]:
        nonlocal count
        for item in objects:
            count += 1
            yield json.dumps(item, ensure_ascii=False) + "\n"

    write_text(path, lines())
    return count


def write_text(path: Path, parts: Iterable[str]) -> None:
    """Write a text file: under another name first, then renamed, so that nobody ever reads half of it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()

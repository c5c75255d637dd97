"""Picking from JSON, and reading tables."""

import csv
import io
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel

from workflow_service.agents.json_paths import NoSuchPath, look_up
from workflow_service.agents.use_cases import RunContext, use_case


class SelectInput(BaseModel):
    """``paths`` names each value to pick; ``missing`` says what to do where a path leads nowhere."""

    value: JsonValue
    paths: dict[str, str] = Field(min_length=1, max_length=1_000)
    missing: Literal["error", "null"] = "error"


@use_case("json.select")
def select_values(params: SelectInput) -> dict[str, JsonValue]:
    """Pick values out of a JSON value by their paths."""
    picked: dict[str, JsonValue] = {}
    for name, path in params.paths.items():
        try:
            picked[name] = look_up(params.value, path)
        except NoSuchPath:
            if params.missing == "error":
                raise
            picked[name] = None
    return picked


class CsvInput(BaseModel):
    """``file`` is a file of the workspace; or give the ``text`` itself. ``limit`` counts rows."""

    model_config = ConfigDict(extra="forbid")

    file: str | None = None
    text: str | None = None
    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: Literal["utf-8", "utf-16", "latin-1", "windows-1252"] = "utf-8"
    limit: int = Field(100_000, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def one_source(self) -> "CsvInput":
        if (self.file is None) == (self.text is None):
            raise ValueError("give either 'file' or 'text'")
        return self


class BadRow(BaseModel):
    line: int
    reason: str


class CsvOutput(BaseModel):
    """``bad_rows`` have more or fewer cells than the header; ``more`` tells that ``limit`` cut the rest."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)

    columns: list[str]
    rows: list[dict[str, str]]
    row_count: int
    bad_rows: list[BadRow]
    more: bool


@use_case("csv.read")
def read_csv(params: CsvInput, run: RunContext) -> CsvOutput:
    """Read a table with a header line; a row that does not fit the header is told, not dropped in silence."""
    if params.text is not None:
        return _read_table(io.StringIO(params.text, newline=""), params)
    encoding = "utf-8-sig" if params.encoding == "utf-8" else params.encoding
    with run.open_file(params.file or "") as file, io.TextIOWrapper(file, encoding, newline="") as source:
        return _read_table(source, params)


def _read_table(source: io.TextIOBase, params: CsvInput) -> CsvOutput:
    reader = csv.reader(source, delimiter=params.delimiter, strict=True)
    rows: list[dict[str, str]] = []
    bad_rows: list[BadRow] = []
    try:
        columns = next(reader, [])
        if len(set(columns)) < len(columns):
            raise ValueError("two columns of the header have the same name")
        for cells in reader:
            if len(rows) + len(bad_rows) == params.limit:
                return _table(columns, rows, bad_rows, more=True)
            if len(cells) == len(columns):
                rows.append(dict(zip(columns, cells, strict=True)))
            elif cells:
                reason = f"{len(cells)} cells, but the header has {len(columns)}"
                bad_rows.append(BadRow(line=reader.line_num, reason=reason))
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} is not CSV: {error}") from None
    return _table(columns, rows, bad_rows, more=False)


def _table(
    columns: list[str], rows: list[dict[str, str]], bad_rows: list[BadRow], *, more: bool
) -> CsvOutput:
    return CsvOutput(columns=columns, rows=rows, row_count=len(rows), bad_rows=bad_rows, more=more)

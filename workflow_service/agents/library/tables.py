"""CSV: tables with a header line, read into records and written from them."""

import csv
import io
from collections.abc import Iterator
from typing import Annotated, Literal, Protocol

from pydantic import Field, JsonValue, model_validator

from workflow_service.agents.library.conversions import Kind, convert
from workflow_service.agents.library.shapes import MAX_PROBLEMS, Output, Params, Record, Records
from workflow_service.agents.library.sources import Encoding, codec_of
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.artifacts.references import ArtifactRef, FileName, FileSource
from workflow_service.engine.json_values import storable_text

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class CsvReadInput(Params):
    """``file`` is a file of the workspace or an artifact; or give the ``text`` itself. ``limit`` counts rows.

    ``types`` says what the cells of a column become; a row with a cell that is no such value is a bad row.
    """

    file: FileSource | None = None
    text: str | None = None
    delimiter: str = Field(",", min_length=1, max_length=1)
    quote: str = Field('"', min_length=1, max_length=1)
    encoding: Encoding = "utf-8"
    columns: list[str] | None = Field(
        None, description="Names of the columns of a table without a header line."
    )
    types: dict[str, Kind] = {}
    limit: int = Field(100_000, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def one_source(self) -> "CsvReadInput":
        if (self.file is None) == (self.text is None):
            raise ValueError("give either 'file' or 'text'")
        return self


class BadRow(Output):
    line: int
    reason: str


class CsvReadOutput(Output):
    """``bad_rows`` do not fit the header or the types; ``more`` tells that ``limit`` cut the rest."""

    columns: list[str]
    rows: list[Record]
    row_count: int
    bad_rows: list[BadRow]
    bad_row_count: int
    more: bool


@use_case("csv.read")
def read_csv(params: CsvReadInput, run: RunContext) -> CsvReadOutput:
    """Read a CSV table into records; a row that does not fit is told, not dropped in silence."""
    if params.text is not None:
        return _read_table(io.StringIO(params.text, newline=""), params)
    with (
        run.open_file(params.file or "") as file,
        io.TextIOWrapper(file, codec_of(params.encoding), newline="") as source,
    ):
        return _read_table(source, params)


class _Reader(Protocol):
    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


def _read_table(source: io.TextIOBase, params: CsvReadInput) -> CsvReadOutput:
    reader = csv.reader(source, delimiter=params.delimiter, quotechar=params.quote, strict=True)
    table = CsvReadOutput(columns=[], rows=[], row_count=0, bad_rows=[], bad_row_count=0, more=False)
    try:
        table.columns = _columns(reader, params)
        for cells in reader:
            if len(table.rows) + table.bad_row_count == params.limit:
                table.more = True
                break
            if cells:
                _take_row(table, cells, reader.line_num, params)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} is not CSV: {error}") from None
    except UnicodeError as error:
        raise ValueError(
            f"after line {reader.line_num} the file is not {params.encoding} text: {error}"
        ) from None
    table.row_count = len(table.rows)
    return table


def _columns(reader: _Reader, params: CsvReadInput) -> list[str]:
    columns = next(reader, []) if params.columns is None else params.columns
    if len(set(columns)) < len(columns):
        raise ValueError("two columns of the header have the same name")
    unknown = set(params.types) - set(columns)
    if columns and unknown:
        raise ValueError(f"'types' names columns that the table does not have: {', '.join(sorted(unknown))}")
    return columns


def _take_row(table: CsvReadOutput, cells: list[str], line: int, params: CsvReadInput) -> None:
    reason = ""
    if len(cells) != len(table.columns):
        reason = f"{len(cells)} cells, but the header has {len(table.columns)}"
    else:
        row: Record = dict(zip(table.columns, cells, strict=True))
        try:
            for name, kind in params.types.items():
                row[name] = _cell(row[name], name, kind)
        except ValueError as error:
            reason = str(error)
    if not reason:
        table.rows.append(row)
        return
    table.bad_row_count += 1
    if len(table.bad_rows) < MAX_PROBLEMS:
        table.bad_rows.append(BadRow(line=line, reason=reason))


def _cell(value: JsonValue, name: str, kind: Kind) -> JsonValue:
    try:
        return convert(value, kind)
    except ValueError as error:
        raise ValueError(f"column '{name}': {error}") from None


class CsvWriteInput(Params):
    """``columns`` are all keys of the first record where not given; from one block to the next the order of keys is not
    kept, so give them where it matters. ``formulas`` says what becomes of cells that a spreadsheet would run: by
    default they are written with a ``'`` before them.
    """

    records: Records
    name: FileName = "table.csv"
    columns: Annotated[list[str], Field(min_length=1, max_length=10_000)] | None = None
    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: Encoding = "utf-8"
    header: bool = True
    formulas: Literal["escape", "keep"] = "escape"


class FileOutput(Output):
    """``artifact`` is the reference of the file written; ``count`` what went into it."""

    artifact: ArtifactRef
    count: int


@use_case("csv.write")
def write_csv(params: CsvWriteInput, run: RunContext) -> FileOutput:
    """Write records as a CSV file and keep it as an artifact."""
    columns = params.columns or (list(params.records[0]) if params.records else [])
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=params.delimiter, lineterminator="\r\n")
    if params.header and columns:
        writer.writerow([_written(name, params) for name in columns])
    for index, record in enumerate(params.records):
        extra = record.keys() - set(columns) if params.columns is None else ()
        if extra:
            raise ValueError(
                f"record {index} has fields that the first has not ({', '.join(sorted(extra))}); give 'columns'"
            )
        writer.writerow([_written(record.get(name), params) for name in columns])
    try:
        data = text.getvalue().encode(params.encoding)
    except UnicodeError as error:
        raise ValueError(f"the records cannot be written as {params.encoding}: {error}") from None
    artifact = run.save_file(params.name, data, content_type="text/csv")
    return FileOutput(artifact=artifact, count=len(params.records))


def _written(value: JsonValue, params: CsvWriteInput) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"a cell cannot hold a list or an object: {storable_text(str(value), 60)}")
    if params.formulas == "escape" and value.startswith(_FORMULA_STARTS):
        return "'" + value
    return value

"""The blocks of the sales pipeline as use cases: typed at their doors, thin inside.

Each reads files that stand complete and writes files that appear complete, or works in one transaction, so
each may be run again at any point. Figures go into the run's context under names of their own; rows never do.
"""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from examples.sales_etl import assessment, chart, duplicates, loading, profiling, reporting
from examples.sales_etl.cleaning import Fault, RowReader, Rules, Sale, check_columns
from examples.sales_etl.json_lines import RawRow, read_objects, read_rows, write_objects, write_text
from examples.sales_etl.values import (
    AssessInput,
    AssessOutput,
    DeduplicateOutput,
    ExtractedInput,
    LoadInput,
    LoadOutput,
    ProfileOutput,
    Rejection,
    ReportInput,
    ReportOutput,
    TransformInput,
    TransformOutput,
    ValidateInput,
    ValidateOutput,
    Work,
)
from workflow_service.agents.use_cases import RunContext, use_case

# How values come back from the run's files.
FAULTS = TypeAdapter(list[Fault])
GROUP = TypeAdapter(duplicates.Group)
SALE = TypeAdapter(Sale)


class Stopwatch:
    """Measures one block's work."""

    def __init__(self) -> None:
        self._started_at = datetime.now(UTC)
        self._cpu_s = time.process_time()

    def read(self) -> Work:
        """Return the measure up to now."""
        cpu_ms = round(1_000 * (time.process_time() - self._cpu_s), 1)
        return Work(
            started_at=self._started_at, finished_at=datetime.now(UTC), process_id=os.getpid(), cpu_ms=cpu_ms
        )


@use_case("sales.profile")
def profile(params: ExtractedInput, run: RunContext) -> ProfileOutput:
    """Describe every column of the file, and write ``profile.json``."""
    watch = Stopwatch()
    figures = profiling.profile_rows(read_rows(params.extracted_path))
    path = params.extracted_path.with_name("profile.json")
    write_objects(path, [figures])
    return ProfileOutput(profile_path=path, profiled_rows=figures["rows"], profile_work=watch.read())


@use_case("sales.validate")
def validate(params: ValidateInput, run: RunContext) -> ValidateOutput:
    """Try to read a sale from every row, and write the rows that are none to ``invalid.jsonl``."""
    watch = Stopwatch()
    rules = params.rules or Rules()
    check_columns(params.columns, rules)
    reader = RowReader(rules)
    checked = 0

    def invalid_rows() -> Iterator[dict[str, Any]]:
        nonlocal checked
        for row in read_rows(params.extracted_path):
            checked += 1
            if faults := find_faults(row, reader):
                yield {"line": row.line, "faults": [vars(fault) for fault in faults]}

    path = params.extracted_path.with_name("invalid.jsonl")
    invalid = write_objects(path, invalid_rows())
    run.log("INFO", f"{invalid} of {checked} rows are invalid", invalidRows=invalid)
    return ValidateOutput(
        invalid_path=path, valid_rows=checked - invalid, invalid_rows=invalid, validate_work=watch.read()
    )


def find_faults(row: RawRow, reader: RowReader) -> list[Fault]:
    """Return every reason why the row is no sale."""
    if row.problem is not None:
        return [Fault("unreadable_row", "", row.problem)]
    return reader.read(row.values)[1]


@use_case("sales.deduplicate")
def deduplicate(params: ExtractedInput, run: RunContext) -> DeduplicateOutput:
    """Find orders that occur more than once, and write them to ``duplicates.jsonl``."""
    watch = Stopwatch()
    found = duplicates.find_duplicates(read_rows(params.extracted_path))
    path = params.extracted_path.with_name("duplicates.jsonl")
    write_objects(path, (vars(group) for group in found.groups))
    for one, other in found.suspected_pairs[:20]:
        run.log("INFO", f"lines {one} and {other} look alike", lines=[one, other])
    return DeduplicateOutput(
        duplicates_path=path,
        compared_rows=found.rows,
        repeated_orders=len(found.groups),
        suspected_pairs=len(found.suspected_pairs),
        deduplicate_work=watch.read(),
    )


@use_case("sales.assess")
def assess(params: AssessInput, run: RunContext) -> AssessOutput:
    """Decide which rows to keep, and write all others with their reasons to ``rejected.jsonl``."""
    watch = Stopwatch()
    invalid = {
        entry["line"]: FAULTS.validate_python(entry["faults"]) for entry in read_objects(params.invalid_path)
    }
    groups = [GROUP.validate_python(entry) for entry in read_objects(params.duplicates_path)]
    found = assessment.assess(sum(1 for _ in read_rows(params.extracted_path)), invalid, groups)
    path = params.extracted_path.with_name("rejected.jsonl")
    written = write_objects(path, rejections(params.extracted_path, found))
    if written != found.bad_rows:
        raise RuntimeError(f"{found.bad_rows} rows are bad, {written} were written: the run's files disagree")
    run.log("INFO", found.summary(), reasons=dict(found.reasons()))
    return AssessOutput(
        rejected_path=path,
        good_rows=found.rows - found.bad_rows,
        bad_rows=found.bad_rows,
        bad_percent=found.bad_percent,
        reasons=found.reasons(),
        quality_summary=found.summary(),
        assess_work=watch.read(),
    )


def rejections(extracted_path: Path, found: assessment.Assessment) -> Iterator[dict[str, Any]]:
    """Yield the rejected rows as they stood, each with its reasons."""
    for row in read_rows(extracted_path):
        if faults := found.faults.get(row.line):
            rejection = Rejection(line=row.line, faults=tuple(faults), values=row.values)
            yield rejection.model_dump(mode="json")


@use_case("sales.transform")
def transform(params: TransformInput) -> TransformOutput:
    """Turn every row that was not rejected into a clean sale, and write them to ``transformed.jsonl``."""
    watch = Stopwatch()
    reader = RowReader(params.rules or Rules())
    rejected = {entry["line"] for entry in read_objects(params.rejected_path)}
    mended = 0

    def sales() -> Iterator[dict[str, str]]:
        nonlocal mended
        for row in read_rows(params.extracted_path):
            if row.line in rejected:
                continue
            sale, faults = reader.read(row.values)
            if sale is None:
                raise ValueError(f"line {row.line} was not rejected, yet is no sale: {faults}")
            clean = {name: str(value) for name, value in vars(sale).items()}
            mended += row.mended or any(clean[name] != row.values[name] for name in clean)
            yield clean

    path = params.extracted_path.with_name("transformed.jsonl")
    rows = write_objects(path, sales())
    return TransformOutput(
        transformed_path=path, transformed_rows=rows, mended_rows=mended, transform_work=watch.read()
    )


@use_case("sales.load")
def load(params: LoadInput, run: RunContext) -> LoadOutput:
    """Load the clean sales into Postgres, replacing whatever this run loaded before."""
    watch = Stopwatch()
    loaded = loading.load_sales(
        (SALE.validate_python(entry) for entry in read_objects(params.transformed_path)),
        execution_id=run.execution_id,
        idempotency_key=run.idempotency_key,
    )
    return LoadOutput(
        loaded_rows=loaded.rows,
        loaded_days=loaded.days,
        loaded_revenue=loaded.revenue,
        times_loaded=loaded.times_loaded,
        load_work=watch.read(),
    )


@use_case("sales.report")
def report(params: ReportInput, run: RunContext) -> ReportOutput:
    """Write ``report.md`` and ``daily_revenue.svg`` from the tables, beside the run's other files."""
    watch = Stopwatch()
    figures = loading.read_figures(run.execution_id)
    chart_path = params.rejected_path.with_name("daily_revenue.svg")
    write_text(chart_path, [chart.draw_daily_revenue(figures.days)])
    path = params.rejected_path.with_name("report.md")
    write_text(path, [reporting.write_report(run.execution_id, params.quality(), figures, chart_path.name)])
    return ReportOutput(report_path=path, chart_path=chart_path, report_work=watch.read())


@use_case("sales.report_stopped")
def report_stopped(params: ReportInput, run: RunContext) -> ReportOutput:
    """Write a ``report.md`` that says why nothing was loaded."""
    watch = Stopwatch()
    path = params.rejected_path.with_name("report.md")
    text = reporting.write_stopped_report(run.execution_id, params.quality(), params.comments or "")
    write_text(path, [text])
    return ReportOutput(report_path=path, report_work=watch.read())

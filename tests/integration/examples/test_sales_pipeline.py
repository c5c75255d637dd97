"""The sales pipeline from file to report, by the worker's real code on real Postgres."""

from typing import Any

import psycopg
import pytest

from examples.sales_etl.json_lines import read_objects
from tests.factories import statuses
from tests.integration.examples.sales_runs import (
    answer,
    go_on,
    make_sales_template,
    pending_approval,
    start_sales,
)
from tests.unit.examples.independent_count import count_valid_sales

Analytics = psycopg.Connection


def loaded(analytics: Analytics, execution_id: str) -> tuple[int, int]:
    """Return rows and revenue in cents of a run, straight from the table."""
    row = analytics.execute(
        "SELECT count(*), coalesce(sum(amount) * 100, 0)::bigint FROM sales_etl.sales WHERE execution_id = %s",
        [execution_id],
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def test_a_file_with_few_bad_rows_asks_nobody_and_is_loaded_whole(analytics: Analytics) -> None:
    run = go_on(start_sales(make_sales_template(), rows=1_000, dirt=0.01))
    assert run.execution.status == "COMPLETED", run.execution.error
    assert run.truth["bad_rows"] == 10
    assert statuses(run.execution)["review"] == statuses(run.execution)["stopped"] == "SKIPPED"
    counted = count_valid_sales(run.files / "sales.csv")
    assert loaded(analytics, run.execution.public_id) == counted
    assert counted[0] == run.truth["valid_rows"] == run.output("load")["loadedRows"] == 990
    assert run.output("load")["loadedRevenue"] == run.truth["revenue"]


def test_nothing_is_lost_silently(analytics: Analytics) -> None:
    run = go_on(start_sales(make_sales_template(), rows=1_000, dirt=0.05, maxBadPercent=10))
    extracted = list(read_objects(run.directory / "extracted.jsonl"))
    rejected = list(read_objects(run.directory / "rejected.jsonl"))
    kept = list(read_objects(run.directory / "transformed.jsonl"))
    assert len(extracted) == run.output("extract")["recordCount"] == 1_000
    assert len(rejected) == run.truth["bad_rows"] == 50
    assert len(rejected) + len(kept) == 1_000
    assert all(row["faults"] for row in rejected)
    by_line = {row["line"]: row["values"] for row in extracted}
    assert all(by_line[row["line"]] == row["values"] for row in rejected)


def test_the_report_lies_beside_the_runs_files(analytics: Analytics) -> None:
    run = go_on(start_sales(make_sales_template(), dirt=0))
    output = run.output("report")
    report, chart = run.directory / "report.md", run.directory / "daily_revenue.svg"
    assert (output["reportPath"], output["chartPath"]) == (str(report), str(chart))
    assert f"| Revenue | ${float(run.truth['revenue']):,.2f} |" in report.read_text()
    assert chart.read_text().startswith("<svg ")


@pytest.mark.parametrize(
    ("given", "blocks"),
    [
        ({"csvPath": "missing.csv"}, {"extract": "RESOURCE_NOT_FOUND"}),
        ({"csvPath": "../../../../etc/hostname"}, {"extract": None}),
    ],
)
def test_a_file_that_cannot_be_used_fails_the_block_that_finds_it(
    analytics: Analytics, given: dict[str, Any], blocks: dict[str, str | None]
) -> None:
    run = go_on(start_sales(make_sales_template(), rows=20, **given))
    assert run.execution.status == "FAILED"
    failed = {row.block_id: row.error for row in run.execution.block_executions.filter(status="FAILED")}
    assert set(failed) == set(blocks)
    for block_id, error_type in blocks.items():
        error = failed[block_id]
        assert error is not None
        assert error_type in (None, error["type"])
    assert not (run.directory / "transformed.jsonl").exists()


def test_a_file_that_lacks_a_column_is_shown_to_a_person(analytics: Analytics) -> None:
    run = go_on(start_sales(make_sales_template(), rows=20, validationRules={"required_columns": ["colour"]}))
    assert run.execution.status == "WAITING_FOR_APPROVAL"
    assert "the file lacks colour" in pending_approval(run).message
    answer(run, approved=False)
    assert run.execution.status == "FAILED"
    assert run.execution.error is not None
    assert run.execution.error["type"] == "VALIDATION_ERROR"
    assert not (run.directory / "transformed.jsonl").exists()

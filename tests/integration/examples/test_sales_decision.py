"""Where too much of a file is bad a person decides; and a worker that dies in the load loses and doubles nothing."""

from typing import Any

import psycopg
import pytest

from approvals_app.models import Approval
from examples.sales_etl import use_cases
from examples.sales_etl.values import LoadInput, LoadOutput
from tests.factories import statuses
from tests.integration.examples.sales_runs import (
    answer,
    go_on,
    make_sales_template,
    pending_approval,
    start_sales,
)
from tests.integration.examples.test_sales_pipeline import loaded
from tests.unit.examples.independent_count import count_valid_sales
from workflow_service.agents.use_cases import RunContext, use_case

Analytics = psycopg.Connection


def test_above_the_limit_a_person_is_told_the_figures_and_decides(analytics: Analytics) -> None:
    run = go_on(start_sales(make_sales_template(), rows=1_000, dirt=0.03))
    assert run.execution.status == "WAITING_FOR_APPROVAL"
    approval = pending_approval(run)
    assert (approval.block_id, approval.type, approval.level) == ("review", "APPROVAL", "MANAGER")
    assert approval.message.startswith("30 of 1,000 rows (3.00 %) are bad: ")
    assert approval.message.endswith("Load the other 970 rows?")
    asked: Any = approval.input
    assert (asked["goodRows"], asked["badRows"], asked["badPercent"]) == (970, 30, 3.0)
    assert loaded(analytics, run.execution.public_id) == (0, 0)

    answer(run, approved=True, comments="known export fault")
    assert run.execution.status == "COMPLETED", run.execution.error
    assert loaded(analytics, run.execution.public_id) == count_valid_sales(run.files / "sales.csv")
    report = (run.directory / "report.md").read_text()
    assert "30 (3.00 %) were rejected; a person approved going on without them." in report


def test_a_decision_against_the_data_is_a_clear_end(analytics: Analytics) -> None:
    run = answer(go_on(start_sales(make_sales_template())), approved=False, comments="ask for a new export")
    assert run.execution.status == "COMPLETED", run.execution.error
    skipped = {name for name, status in statuses(run.execution).items() if status == "SKIPPED"}
    assert skipped == {"transform", "load", "report"}
    assert loaded(analytics, run.execution.public_id) == (0, 0)
    report = (run.directory / "report.md").read_text()
    assert "**nothing was loaded**" in report
    assert "> ask for a new export" in report


@pytest.mark.parametrize(("dirt", "asked"), [(0.01, False), (0.0125, True)])
def test_the_limit_itself_asks_nobody(analytics: Analytics, dirt: float, asked: bool) -> None:
    run = go_on(start_sales(make_sales_template(), rows=400, dirt=dirt))
    assert Approval.objects.filter(execution=run.execution).exists() == asked


def test_the_limit_can_be_given(analytics: Analytics) -> None:
    run = go_on(start_sales(make_sales_template(), dirt=0.01, maxBadPercent=0.5))
    assert run.execution.status == "WAITING_FOR_APPROVAL"


class WorkerDied(BaseException):
    """Stands for a kill: the block's finish is never written, and it is handed back to be run again."""


@use_case("tests.load_and_die_once")
def load_and_die_once(params: LoadInput, run: RunContext) -> LoadOutput:
    """Load as the pipeline does; the first time the worker dies between the commit and the finish."""
    output = use_cases.load(params, run)
    if output.times_loaded == 1:
        raise WorkerDied
    return output


def test_a_worker_lost_between_the_loads_commit_and_its_finish_doubles_nothing(analytics: Analytics) -> None:
    load = {"useCase": "tests.load_and_die_once", "input": {"transformedPath": "${transformedPath}"}}
    run = start_sales(make_sales_template(load={"configuration": load}), dirt=0.01)
    with pytest.raises(WorkerDied):
        go_on(run)
    counted = count_valid_sales(run.files / "sales.csv")
    assert loaded(analytics, run.execution.public_id) == counted
    assert statuses(run.execution)["load"] == "QUEUED"

    go_on(run)
    assert run.execution.status == "COMPLETED", run.execution.error
    assert run.output("load")["timesLoaded"] == 2
    assert loaded(analytics, run.execution.public_id) == counted

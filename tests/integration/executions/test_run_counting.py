"""Ended runs in the rollups: as the block rows say, once each, anew after a restart, and not where a process dies."""

from typing import Any

import pytest

from executions_app.digest import digest_ended_runs
from executions_app.models import Execution
from templates_app.models import Template
from tests import restarting
from tests.driver import run_until_quiet, wake_all
from tests.factories import branch, make_template, noop, start
from tests.failing_work import dying_at, new_key, unsteady_block
from tests.restarting import restart
from workflow_service.analytics import counting
from workflow_service.analytics.histogram import bucket_of
from workflow_service.analytics.models import CountedRun, ErrorRollup, Rollup

pytestmark = pytest.mark.usefixtures("db")

COUNTS = ("completed", "failed", "rejected", "skipped", "cancelled", "retries", "troubled", "recovered")


@pytest.fixture(autouse=True)
def blank() -> None:
    restarting.failing.clear()
    restarting.ran.clear()


def ran(template: Template) -> Execution:
    """Run a template to its end, retries included, and count it."""
    return ended(start(template))


def ended(execution: Execution) -> Execution:
    execution = run_until_quiet(execution)
    while execution.completed_at is None:
        wake_all(execution)
        execution = run_until_quiet(execution)
    digest_ended_runs()
    return execution


def counted(template: Template, grain: str = "d") -> dict[str, dict[str, int]]:
    """Return what the one rollup of each block says, '' for the runs; what is zero is left out."""
    rows = Rollup.objects.filter(template=template, grain=grain)
    found = {row.block_id: {name: n for name in COUNTS if (n := getattr(row, name))} for row in rows}
    assert len(found) == len(rows)
    return found


def errors(template: Template) -> dict[tuple[str, str], int]:
    rows = ErrorRollup.objects.filter(template=template, grain="h")
    return {(row.block_id, row.error_type): row.count for row in rows if row.count}


def sums(template: Template) -> list[dict[str, Any]]:
    """Return everything that the rollups hold of a template."""
    rows = Rollup.objects.filter(template=template).order_by("grain", "block_id")
    return list(rows.values("grain", "start", "block_id", "duration_us", "histogram", *COUNTS))


def test_runs_and_their_blocks_are_counted_by_hour_and_day() -> None:
    template = make_template([noop("a"), noop("b", dependencies=["a"])])
    first, second = ran(template), ran(template)
    assert (
        counted(template)
        == counted(template, "h")
        == {
            "": {"completed": 2},
            "a": {"completed": 2},
            "b": {"completed": 2},
        }
    )
    (runs,) = Rollup.objects.filter(template=template, grain="h", block_id="")
    took = []
    for execution in (first, second):
        assert execution.completed_at is not None
        took.append((execution.completed_at - execution.started_at).total_seconds() * 1e6)
    assert runs.duration_us == round(sum(took))
    assert sum(runs.histogram.values()) == 2
    assert {int(bucket) for bucket in runs.histogram} == {bucket_of(round(each)) for each in took}
    assert runs.start == first.started_at.replace(minute=0, second=0, microsecond=0)


def test_what_recovered_is_told_from_what_did_not() -> None:
    saved = unsteady_block("saved", new_key(), fails=1)
    lost = unsteady_block("lost", new_key(), fails=9, fields={"dependencies": ["saved"]})
    template = make_template([saved, lost])
    assert ran(template).status == "FAILED"
    assert counted(template) == {
        "": {"failed": 1, "retries": 2, "troubled": 2, "recovered": 1},
        "saved": {"completed": 1, "retries": 1, "troubled": 1, "recovered": 1},
        "lost": {"failed": 1, "retries": 1, "troubled": 1},
    }
    # One failure was mended; of the other two the last gave up.
    assert errors(template) == {("saved", "NETWORK_ERROR"): 1, ("lost", "NETWORK_ERROR"): 2}


def test_a_restarted_run_is_counted_once_and_what_it_copied_not_again() -> None:
    template = make_template([restarting.work("a"), restarting.work("b", "a"), restarting.work("c", "b")])
    restarting.failing.add("c")
    execution = ran(template)
    assert counted(template)[""] == {"failed": 1, "troubled": 1}
    restarting.failing.clear()
    restart(execution)
    assert digest_ended_runs() == 0
    ended(execution)
    found = counted(template)
    assert found[""] == {"completed": 1, "troubled": 1}
    assert (found["a"], found["b"]) == ({"completed": 1}, {"completed": 1})
    assert found["c"] == {"completed": 1, "failed": 1, "troubled": 1}
    assert errors(template) == {("c", "AUTHORIZATION_ERROR"): 1}
    assert CountedRun.objects.filter(template_id=template.pk).count() == 1


def test_counting_a_run_anew_changes_nothing() -> None:
    template = make_template([noop("a"), unsteady_block("b", new_key(), fails=1)])
    execution = ran(template)
    before = sums(template)
    Execution.objects.filter(pk=execution.pk).update(generation=2)
    assert digest_ended_runs() == 1
    assert sums(template) == before


def test_rounds_of_a_loop_are_rows_of_its_block() -> None:
    branches = [branch("a_runs < 3", "a"), branch(None, "b")]
    template = make_template(
        [noop("begin"), restarting.work("a", "begin", conditions={"branches": branches}), noop("b")]
    )
    assert ran(template).status == "COMPLETED"
    assert counted(template)["a"] == {"completed": 3}
    assert set(counted(template)) == {"", "begin", "a", "b"}


def test_a_run_counts_nothing_where_the_process_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    template = make_template([noop("a")])
    run_until_quiet(start(template))
    with dying_at(monkeypatch, counting, "_add"):
        digest_ended_runs()
    assert counted(template) == {}
    assert digest_ended_runs() == 1
    assert counted(template) == {"": {"completed": 1}, "a": {"completed": 1}}


def test_rollups_outlive_the_runs() -> None:
    template = make_template([noop("a")])
    execution = ran(template)
    Execution.objects.filter(pk=execution.pk).delete()
    assert counted(template)[""] == {"completed": 1}
    assert not CountedRun.objects.filter(template_id=template.pk).exists()

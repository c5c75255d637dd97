"""The timeout of a whole run: active time only, and what becomes of a run when it is over."""

from datetime import timedelta

import pytest
from django.utils import timezone

from approvals_app.models import Approval
from executions_app import running
from executions_app.claiming import claim_block
from executions_app.errors import InputRejected
from executions_app.finishing import Result, finish_block
from executions_app.models import Execution, ExecutionEvent
from executions_app.sweeper import sweep
from templates_app.models import Template
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import event_types, make_template, noop, start, statuses
from tests.farms import live_worker
from workflow_service.engine.states import BlockStatus

pytestmark = pytest.mark.usefixtures("db", "empty_queues")


def make_overdue(execution: Execution) -> None:
    """Let the deadline be a moment ago, as if the time had passed."""
    moment = timezone.now() - timedelta(seconds=1)
    assert Execution.objects.filter(pk=execution.pk, deadline_at__isnull=False).update(deadline_at=moment)


def pair(**settings: object) -> Execution:
    """Start a run of two blocks side by side and one after them."""
    blocks = [noop("a"), noop("b"), noop("after", dependencies=["a", "b"])]
    return start(make_template(blocks, globalSettings=settings))


def test_a_run_past_its_timeout_drains_and_fails() -> None:
    execution = pair(timeout=60_000)
    claim = claim_block(execution.pk, queued_blocks(execution)[0], live_worker()).claim
    assert claim is not None
    make_overdue(execution)
    sweep()
    assert statuses(execution) == {"a": "RUNNING", "b": "CANCELLED"}
    execution = assert_consistent(execution)
    assert execution.status == "RUNNING", "what is at work is let to its end"
    sweep()
    assert event_types(execution).count("execution_timed_out") == 1

    assert finish_block(claim, Result(BlockStatus.COMPLETED, output={"kept": 1})).accepted
    execution = assert_consistent(execution)
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert execution.error["type"] == "TIMEOUT_ERROR"
    assert "60,000 ms" in execution.error["message"]
    assert statuses(execution)["a"] == "COMPLETED", "a finished block's result is kept"
    assert statuses(execution)["after"] == "PENDING"
    assert event_types(execution)[-1] == "execution_failed"


def test_a_run_past_its_timeout_that_does_nothing_fails_at_once() -> None:
    execution = pair(timeout=60_000)
    make_overdue(execution)
    sweep()
    execution = assert_consistent(execution)
    assert (execution.status, execution.deadline_at) == ("FAILED", None)
    assert set(statuses(execution).values()) == {"CANCELLED"}


def test_a_run_within_its_timeout_is_left_alone() -> None:
    execution = pair(timeout=60_000)
    sweep()
    assert run_until_quiet(execution).status == "COMPLETED"
    assert "execution_timed_out" not in event_types(execution)


def test_an_ended_run_cannot_time_out() -> None:
    execution = run_until_quiet(pair(timeout=60_000))
    assert execution.deadline_at is None
    assert execution.active_since is None
    assert execution.active_ms >= 0


def test_the_clock_stops_while_only_people_are_waited_for() -> None:
    ask = noop("ask", humanInLoop={"required": True, "type": "APPROVAL"})
    execution = start(make_template([ask], globalSettings={"timeout": 60_000}))
    assert execution.status == "STARTING"
    execution.refresh_from_db()
    assert execution.deadline_at is not None
    for block in queued_blocks(execution):
        running.run_blocks(execution.pk, block, "default")
    assert Approval.objects.filter(execution=execution).exists()
    execution.refresh_from_db()
    assert execution.status == "WAITING_FOR_APPROVAL"
    assert not Execution.objects.get(pk=execution.pk).deadline_at, "the clock stands"
    assert 0 <= execution.active_ms < 60_000


def test_the_start_says_the_timeout_before_the_template_does() -> None:
    template = make_template([noop("once")], globalSettings={"timeout": 60_000})
    assert start(template).timeout_ms == 60_000
    assert start(template, timeout=5).timeout_ms == 5
    assert start(make_template([noop("once")])).timeout_ms is None


@pytest.mark.parametrize("timeout", [0, -1, 1.5, "60", True, 10**15])
def test_a_timeout_that_does_not_fit_is_refused(timeout: object) -> None:
    with pytest.raises(InputRejected) as refused:
        start(make_template([noop("once")]), timeout=timeout)
    assert refused.value.problems[0].pointer == "/options/timeout"


def test_the_event_names_the_limit_and_the_time() -> None:
    execution = pair(timeout=60_000)
    make_overdue(execution)
    sweep()
    data = ExecutionEvent.objects.get(execution_id=execution.pk, type="execution_timed_out").data
    assert data["timeoutMs"] == 60_000
    assert data["activeMs"] >= 0


def parent_of(child: Template, **settings: object) -> tuple[Execution, Execution]:
    """Start a run whose block waits for a run of ``child``; return both."""
    call = {"blockId": "call", "toolType": "SUBWORKFLOW", "configuration": {"template": child.public_id}}
    parent = start(make_template([call], workspace=child.workspace, globalSettings=settings))
    (row_id,) = queued_blocks(parent)
    running.run_blocks(parent.pk, row_id, "default")
    return parent, Execution.objects.get(parent=parent)


def test_a_parent_past_its_timeout_takes_its_sub_workflow_along() -> None:
    parent, child = parent_of(make_template([noop("slow")]), timeout=60_000)
    assert child.deadline_at is None, "a child has the timeout of its own template"
    make_overdue(parent)
    sweep()
    sweep()
    parent, child = assert_consistent(parent), assert_consistent(child)
    assert (parent.status, child.status) == ("FAILED", "FAILED")
    assert statuses(child) == {"slow": "CANCELLED"}
    assert parent.error is not None
    assert parent.error["type"] == "TIMEOUT_ERROR"


def test_a_sub_workflow_past_its_own_timeout_fails_the_block_that_waits() -> None:
    parent, child = parent_of(make_template([noop("slow")], globalSettings={"timeout": 60_000}))
    make_overdue(child)
    sweep()
    assert assert_consistent(child).status == "FAILED"
    assert statuses(parent) == {"call": "FAILED"}
    assert assert_consistent(parent).status == "FAILED"

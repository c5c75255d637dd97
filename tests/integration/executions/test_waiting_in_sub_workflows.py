"""A run whose sub-workflows wait for people waits for people itself: it says so, and its clock stands."""

from typing import Any

import pytest
from django.db import connection

from approvals_app.services.approvals import respond_to_approval
from executions_app import aftermath
from executions_app.models import Execution
from executions_app.services.control import pause_execution, resume_execution
from executions_app.sweeper import sweep
from templates_app.models import Template
from tests.consistency import assert_consistent, assert_rebuilt
from tests.factories import event_types, make_template, noop, start
from tests.locks import locked_elsewhere
from tests.people import People, asking, make_people, question_of
from tests.restarting import ADA
from tests.waiting import go_on, wait_block

pytestmark = pytest.mark.usefixtures("db", "empty_queues")

TIMEOUT_MS = 60_000


@pytest.fixture(scope="module")
def people(db: None) -> People:
    return make_people()


def calling(template: Template, *others: dict[str, Any]) -> Template:
    call = {
        "blockId": "call",
        "toolType": "SUBWORKFLOW",
        "configuration": {"template": template.public_id},
    }
    settings = {"timeout": TIMEOUT_MS}
    return make_template([call, *others], workspace=template.workspace, globalSettings=settings)


def family_of(people: People, *others: dict[str, Any], depth: int = 1) -> list[Execution]:
    """Run a workflow in a workflow until the innermost asks; return the runs, the outermost first."""
    template = make_template([asking()], workspace=people.workspace)
    for _ in range(depth):
        template = calling(template, *others)
    runs = [go_on(start(template))]
    while child := Execution.objects.filter(parent=runs[-1]).first():
        runs.append(child)
    return runs


def check(run: Execution, status: str) -> None:
    """Check a run's status, and that its clock stands unless it is active."""
    run = assert_consistent(run)
    assert_rebuilt(run)
    assert run.status == status
    assert (run.active_since is not None) == (status == "RUNNING")
    if run.timeout_ms:
        assert (run.deadline_at is not None) == (status == "RUNNING")


def answer(people: People, run: Execution) -> None:
    approval = question_of(run)
    respond_to_approval(approval_id=approval.public_id, actor=people.alice, approved=True, source="api")


def test_parents_wait_for_whom_their_sub_workflows_wait_for(people: People) -> None:
    runs = family_of(people, depth=2)
    assert len(runs) == 3
    for run in runs:
        check(run, "WAITING_FOR_APPROVAL")
    answer(people, runs[-1])
    for run in runs:
        check(run, "RUNNING")
    go_on(runs[0])
    for run in runs:
        check(run, "COMPLETED")
    assert (
        event_types(runs[0]).count("execution_waiting") == event_types(runs[0]).count("execution_active") == 1
    )


def test_a_run_with_something_else_to_do_is_active(people: People) -> None:
    parent, child = family_of(people, wait_block("nap", duration=3_600_000))
    check(child, "WAITING_FOR_APPROVAL")
    check(parent, "RUNNING")
    answer(people, child)
    check(parent, "RUNNING")
    assert "execution_waiting" not in event_types(parent)


def test_a_parent_that_is_paused_meanwhile_waits_again_after_it(people: People) -> None:
    parent, child = family_of(people)
    pause_execution(parent.pk, ADA)
    check(parent, "PAUSED")
    resume_execution(parent.pk, ADA)
    check(child, "WAITING_FOR_APPROVAL")
    check(parent, "WAITING_FOR_APPROVAL")
    answer(people, child)
    go_on(parent)
    check(parent, "COMPLETED")


def test_what_a_parent_was_not_told_the_sweeper_finds(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(aftermath, "look_at_parent", lambda child_id: None)
        parent, child = family_of(people)
        check(parent, "RUNNING")
        sweep()
        check(parent, "WAITING_FOR_APPROVAL")
        answer(people, child)
        check(parent, "WAITING_FOR_APPROVAL")
        sweep()
        check(parent, "RUNNING")
    seq = Execution.objects.get(pk=parent.pk).event_seq
    sweep()
    assert Execution.objects.get(pk=parent.pk).event_seq == seq, "nothing is left to be found"
    go_on(parent)
    check(parent, "COMPLETED")


def test_nobody_who_answers_waits_for_the_parents_lock(people: People) -> None:
    """The answer is committed: that the parent is busy is no reason to say that it went wrong."""
    parent, child = family_of(people)
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    try:
        with locked_elsewhere(parent.pk):
            answer(people, child)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
    check(child, "RUNNING")
    check(parent, "WAITING_FOR_APPROVAL")
    sweep()
    check(parent, "RUNNING")
    go_on(parent)
    check(parent, "COMPLETED")


def test_who_refuses_does_not_read_that_it_went_wrong_either(people: People) -> None:
    parent, child = family_of(people)
    approval = question_of(child)
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    with locked_elsewhere(parent.pk):
        respond_to_approval(approval_id=approval.public_id, actor=people.alice, approved=False, source="api")
    connection.close()
    check(child, "FAILED")
    sweep()
    go_on(parent)
    check(parent, "FAILED")


def test_two_sub_workflows_of_which_one_waits(people: People) -> None:
    quick = make_template([noop("only")], workspace=people.workspace)
    slow = make_template([wait_block("nap", duration=3_600_000)], workspace=people.workspace)
    for other, status in ((quick, "WAITING_FOR_APPROVAL"), (slow, "RUNNING")):
        call = {"blockId": "other", "toolType": "SUBWORKFLOW", "configuration": {"template": other.public_id}}
        parent, *_ = family_of(people, call)
        check(parent, status)

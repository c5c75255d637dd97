"""Limits of templates: at most so many of its runs are under way at once, the rest begin in the order of starts."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from executions_app.admission import admit
from executions_app.claiming import claim_block
from executions_app.finishing import Result, conclude_locked, finish_block
from executions_app.models import ConcurrencyLimit, Execution
from executions_app.new_runs import NewRun, Parentage, insert_run
from executions_app.run_state import lock_run
from executions_app.services.control import Standing, cancel_execution, pause_execution, resume_execution
from executions_app.services.executions import begin_run
from executions_app.services.limits import delete_limit, save_limit
from executions_app.services.restart import Restart, restart_execution
from executions_app.settlement import Settler
from executions_app.sweeper import sweep
from executions_app.transaction import command_transaction
from templates_app.models import Template
from templates_app.plans import compiled_version
from tests.consistency import assert_consistent, assert_rebuilt
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import event_types, make_template, noop, start, statuses
from tests.farms import live_worker
from tests.restarting import ADA
from workflow_service.engine.states import BlockStatus

pytestmark = pytest.mark.usefixtures("db", "empty_queues")


def limited(most: int, **settings: object) -> tuple[Template, ConcurrencyLimit]:
    template = make_template([noop("only")], globalSettings=settings)
    limit = ConcurrencyLimit(
        workspace=template.workspace, kind="template", key=template.public_id, max_concurrency=most
    )
    return template, save_limit(limit)


def held_back(*executions: Execution) -> list[bool]:
    by_id = dict(Execution.objects.values_list("pk", "held_back"))
    return [by_id[execution.pk] for execution in executions]


def test_a_start_beyond_the_limit_is_accepted_and_begins_when_another_run_ends() -> None:
    template, _limit = limited(1)
    first, second, third = (start(template) for _ in range(3))
    assert held_back(first, second, third) == [False, True, True]
    second = assert_consistent(second)
    assert (second.status, second.active_since, statuses(second)) == ("STARTING", None, {})
    assert event_types(second) == ["execution_started", "execution_queued"]

    assert run_until_quiet(first).status == "COMPLETED"
    assert held_back(second, third) == [False, True], "the oldest is next"
    assert event_types(second)[:3] == ["execution_started", "execution_queued", "execution_admitted"]
    assert assert_consistent(second).active_since is not None
    assert run_until_quiet(second).status == "COMPLETED"
    assert run_until_quiet(third).status == "COMPLETED"


def test_a_run_that_is_held_back_has_no_deadline_before_it_begins() -> None:
    template, _limit = limited(1, timeout=60_000)
    first, second = start(template), start(template)
    assert Execution.objects.get(pk=second.pk).deadline_at is None
    run_until_quiet(first)
    assert Execution.objects.get(pk=second.pk).deadline_at is not None


def test_an_admission_that_is_lost_is_made_up_for_by_the_sweeper() -> None:
    template, _limit = limited(1)
    first, second = start(template), start(template)
    claim = claim_block(first.pk, queued_blocks(first)[0], live_worker()).claim
    assert claim is not None
    # The worker dies after its commit.
    finish_block(claim, Result(BlockStatus.COMPLETED, output={}))
    assert held_back(second) == [True]
    sweep()
    assert held_back(second) == [False]
    assert run_until_quiet(second).status == "COMPLETED"


def test_a_newcomer_does_not_overtake_who_is_held_back() -> None:
    template, _limit = limited(1)
    first, second = start(template), start(template)
    claim = claim_block(first.pk, queued_blocks(first)[0], live_worker()).claim
    assert claim is not None
    finish_block(claim, Result(BlockStatus.COMPLETED, output={}))
    third = start(template)
    assert held_back(second, third) == [True, True]
    admit(template.pk)
    assert held_back(second, third) == [False, True]


def test_a_paused_one_keeps_its_place_and_lets_others_begin() -> None:
    template, _limit = limited(1)
    first, second, third = (start(template) for _ in range(3))
    Execution.objects.filter(pk=second.pk).update(status="PAUSED")
    run_until_quiet(first)
    assert held_back(second, third) == [True, False]
    Execution.objects.filter(pk=second.pk).update(status="STARTING")
    run_until_quiet(third)
    assert held_back(second) == [False]


def test_a_cancelled_one_never_begins() -> None:
    template, _limit = limited(1)
    first, second, third = (start(template) for _ in range(3))
    Execution.objects.filter(pk=second.pk).update(
        status="CANCELLED", held_back=False, completed_at=timezone.now()
    )
    run_until_quiet(first)
    assert held_back(third) == [False]
    assert statuses(second) == {}


@pytest.mark.parametrize("command", [pause_execution, cancel_execution])
def test_one_that_is_restarted_is_held_back_again_and_begins_once(command: Callable[..., Standing]) -> None:
    template, _limit = limited(1)
    first, second = start(template), start(template)
    command(second.pk, ADA)
    restart_execution(second.pk, ADA, Restart())
    second = assert_consistent(second)
    assert (second.held_back, second.status, statuses(second)) == (True, "STARTING", {})
    assert_rebuilt(second)
    assert run_until_quiet(first).status == "COMPLETED"
    assert assert_consistent(second).active_since is not None
    assert run_until_quiet(second).status == "COMPLETED"
    assert event_types(second).count("execution_admitted") == 1
    assert event_types(second).count("block_started") == 1
    assert_rebuilt(second)


def test_one_that_is_resumed_has_not_begun_either() -> None:
    template, _limit = limited(1)
    first, second = start(template), start(template)
    pause_execution(second.pk, ADA)
    assert resume_execution(second.pk, ADA).status == "STARTING"
    assert_rebuilt(second)
    assert assert_consistent(second).active_since is None
    assert run_until_quiet(first).status == "COMPLETED"
    assert run_until_quiet(second).status == "COMPLETED"
    assert_rebuilt(second)


def test_a_forced_restart_does_not_overtake_either() -> None:
    template, _limit = limited(1)
    _first, second, third = (start(template) for _ in range(3))
    restart_execution(second.pk, ADA, Restart(force=True))
    assert held_back(second, third) == [True, True]
    assert statuses(second) == {}


def test_one_that_is_restarted_begins_where_there_is_room() -> None:
    template, _limit = limited(1)
    first, second = start(template), start(template)
    cancel_execution(second.pk, ADA)
    assert run_until_quiet(first).status == "COMPLETED"
    restart_execution(second.pk, ADA, Restart())
    assert held_back(second) == [False]
    assert run_until_quiet(second).status == "COMPLETED"


def test_a_block_that_has_begun_is_never_written_as_one_that_has_not() -> None:
    execution = start(make_template([noop("only")]))
    assert run_until_quiet(execution).status == "COMPLETED"
    with command_transaction() as tx:
        run = lock_run(tx, execution.pk)
        assert run is not None
        settler = Settler(tx, run, compiled_version(run.version_id))
        settler.begin()
        settler.flush()
    assert statuses(execution) == {"only": "COMPLETED"}


def test_a_limit_may_be_raised_and_taken_away() -> None:
    template, limit = limited(1)
    runs = [start(template) for _ in range(4)]
    limit.max_concurrency = 2
    save_limit(limit)
    assert held_back(*runs) == [False, False, True, True]
    delete_limit(limit)
    assert held_back(*runs) == [False] * 4
    for run in runs:
        assert run_until_quiet(run).status == "COMPLETED"


def test_sub_workflows_are_part_of_their_parents_run() -> None:
    template, _limit = limited(1)
    first = start(template)
    version = template.current_version
    assert version is not None
    given = NewRun(template, version, template.owner, {}, {}, "normal", None, "A")
    with command_transaction() as tx:
        child, run = insert_run(tx, given, parentage=Parentage(first, 0))
        conclude_locked(begin_run(tx, child, run, compiled_version(version.pk)))
    assert held_back(child) == [False], "its parent waits for it and makes no room meanwhile"
    run_until_quiet(first)
    assert held_back(start(template)) == [False], "a child is not counted"


def test_other_templates_are_not_limited() -> None:
    template, _limit = limited(1)
    start(template)
    other = make_template([noop("only")], workspace=template.workspace)
    assert held_back(start(other), start(other)) == [False, False]


def test_starts_at_the_same_moment_keep_to_the_limit() -> None:
    template, _limit = limited(2)
    started: list[Execution] = []
    barrier = threading.Barrier(6)

    def start_one() -> None:
        try:
            barrier.wait(10)
            started.append(start(template))
        finally:
            connection.close()

    threads = [threading.Thread(target=start_one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(held_back(*started)) == [False, False, True, True, True, True]
    while open_runs := Execution.objects.filter(template=template, completed_at=None, held_back=False):
        assert open_runs.count() <= 2
        for run in open_runs:
            assert run_until_quiet(run).status == "COMPLETED"
    assert all(run_until_quiet(run).status == "COMPLETED" for run in started)


def test_a_run_past_its_timeout_makes_room() -> None:
    template, _limit = limited(1, timeout=60_000)
    first, second = start(template), start(template)
    Execution.objects.filter(pk=first.pk).update(deadline_at=timezone.now() - timedelta(seconds=1))
    sweep()
    assert Execution.objects.get(pk=first.pk).status == "FAILED"
    assert held_back(second) == [False]

"""A decision is overridden while a worker claims what it led to, or while the process dies: one way is gone, once."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections

from executions_app import crash_points, running
from executions_app.claiming import claim_block
from executions_app.models import BlockExecution, Execution
from executions_app.progress import Claim
from executions_app.worker_identity import worker_id
from tests.consistency import assert_consistent, assert_rebuilt
from tests.driver import run_until_quiet
from tests.factories import event_types, make_template, start
from tests.house import House, make_house
from tests.moods import in_mood
from tests.patience import wait_until
from tests.questions import chosen, decide_only, decision_of, gone_on, triage
from workflow_service.accounts.models import Role
from workflow_service.audit.models import AuditEntry
from workflow_service.decisions.models import Decision
from workflow_service.decisions.services import override

pytestmark = pytest.mark.django_db(transaction=True)

BLOCKED = (
    "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
)


@pytest.fixture
def house() -> House:
    return make_house()


@pytest.fixture
def execution(house: House) -> Execution:
    """Return a run whose question is answered, and whose next block is queued."""
    with in_mood("good", chosen("calm")):
        return decide_only(start(make_template(triage(), workspace=house.workspace)))


def refund(execution: Execution, house: House) -> Decision:
    decision = Decision.objects.filter(execution=execution).earliest("id")
    return override.override_decision(
        decision=decision, actor=house.members[Role.OPERATOR], choice=["refund"]
    )


class ClaimBeside:
    """A worker that claims the block that the decision led to, over a connection of its own."""

    def __init__(self, execution: Execution) -> None:
        self._execution_id = execution.pk
        self._row_id = BlockExecution.objects.get(execution=execution, block_id="calm", status="QUEUED").pk
        self.claim: Claim | None = None
        self._thread = threading.Thread(target=self._take)
        self.start = self._thread.start
        self.join = self._thread.join

    def _take(self) -> None:
        try:
            self.claim = claim_block(self._execution_id, self._row_id, worker_id()).claim
        finally:
            connection.close()


def is_waited_for() -> bool:
    """Tell whether another connection waits for a lock of this one's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(BLOCKED)
        return bool(cursor.fetchone()[0])


def first(action: Callable[[], object], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Have something done before ``override`` gets back what its function ``name`` returns."""
    done = getattr(override, name)

    def call(*arguments: Any, **options: Any) -> Any:
        found = done(*arguments, **options)
        action()
        return found

    monkeypatch.setattr(override, name, call)


def test_what_is_claimed_before_its_row_is_locked_has_begun(
    execution: Execution, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = ClaimBeside(execution)

    def claim() -> None:
        beside.start()
        beside.join()

    first(claim, monkeypatch, "lock_tree")
    assert not refund(execution, house).rerouted
    assert beside.claim is not None
    running.write_outcome(beside.claim, running.work_on(beside.claim), None)
    run_until_quiet(execution)
    assert (execution.status, gone_on(execution)) == ("COMPLETED", {"calm"})
    assert_consistent(execution)
    assert_rebuilt(execution)


def test_who_claims_while_a_run_turns_waits_and_finds_nothing(
    execution: Execution, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = ClaimBeside(execution)

    def claim() -> None:
        beside.start()
        assert wait_until(is_waited_for)

    first(claim, monkeypatch, "can_turn")
    assert refund(execution, house).rerouted
    beside.join()
    assert beside.claim is None
    run_until_quiet(execution)
    assert (execution.status, gone_on(execution)) == ("COMPLETED", {"refund"})
    calm = BlockExecution.objects.get(execution=execution, block_id="calm", superseded=True)
    assert calm.started_at is None
    assert_consistent(execution)
    assert_rebuilt(execution)


@pytest.fixture
def armed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    file = tmp_path / "armed"
    monkeypatch.setattr(crash_points, "_FILE", str(file))
    yield file
    monkeypatch.undo()


def killed_at(armed: Path, point: str, work: Callable[[], object]) -> bool:
    """Do some work in a process that is killed at a point; tell whether it was."""
    crash_points.arm(armed, case="override", point=point)
    # A connection is nobody's to share.
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    armed.unlink()
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def is_over(execution: Execution) -> bool:
    """Tell whether what a killed process held is given back: its locks outlive it for a moment."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT FROM executions_app_execution WHERE id = %s FOR UPDATE SKIP LOCKED) one",
            [execution.pk],
        )
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize("side", ["before", "after"])
def test_who_is_killed_at_its_commit_overrides_whole_or_not_at_all(
    execution: Execution, house: House, armed: Path, side: str
) -> None:
    point = f"override.override_decision:{side} commit"
    assert killed_at(armed, point, lambda: refund(execution, house))
    assert wait_until(lambda: is_over(execution))
    is_done = side == "after"
    old = decision_of(execution)
    assert (old.override, old.rerouted) == ((["refund"], True) if is_done else (None, False))
    assert AuditEntry.objects.filter(action="decision.override").count() == is_done
    # Whoever got no answer asks again.
    again = refund(execution, house)
    assert (again.override, again.rerouted) == (["refund"], True)
    run_until_quiet(execution)
    assert (execution.status, gone_on(execution)) == ("COMPLETED", {"refund"})
    assert event_types(execution).count("ai_decision") == 2
    assert_consistent(execution)
    assert_rebuilt(execution)


def test_nobody_need_ask_again_for_what_was_committed(
    execution: Execution, house: House, armed: Path
) -> None:
    assert killed_at(armed, "override.override_decision:after commit", lambda: refund(execution, house))
    assert wait_until(lambda: is_over(execution))
    run_until_quiet(execution)
    assert (execution.status, gone_on(execution)) == ("COMPLETED", {"refund"})
    assert_consistent(execution)
    assert_rebuilt(execution)

"""Who finds a run's lock taken leaves its block to the holder: whatever the holder does, the block is settled."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from executions_app import child_ends
from executions_app.aftermath import follow_up
from executions_app.errors import ExecutionUnderWay
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution, Execution
from executions_app.progress import Claim
from executions_app.recovering import read_block
from executions_app.services import restart as restart_service
from executions_app.services.control import pause_execution
from executions_app.services.restart import Restart, restart_execution
from tests.consistency import assert_consistent
from tests.factories import make_template, start
from tests.restarting import ADA, claim_one, statuses, work
from workflow_service.engine.states import BlockStatus

pytestmark = pytest.mark.usefixtures("db", "empty_queues")


class Withdrawn(Exception):
    """Whoever gave a command thinks better of it."""


def finish_elsewhere(claim: Claim) -> None:
    """Finish a block as another worker does, to the end of what it does after its commit."""

    def finish() -> None:
        done = finish_block(claim, Result(BlockStatus.COMPLETED, output={}))
        follow_up(done, claim.execution_id)
        connection.close()

    thread = threading.Thread(target=finish)
    thread.start()
    thread.join()


def first_of_two() -> tuple[Execution, Claim]:
    execution = start(make_template([work("one"), work("two", "one")]))
    return execution, claim_one(execution)


def meanwhile(real: Callable[..., Any], claim: Claim) -> Callable[..., Any]:
    """Return ``real``, while which a block is finished elsewhere."""

    def called(*args: Any) -> Any:
        finish_elsewhere(claim)
        return real(*args)

    return called


def test_a_command_that_is_refused_settles_what_was_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    execution, claim = first_of_two()
    refuse = meanwhile(restart_service._require_restartable, claim)
    monkeypatch.setattr(restart_service, "_require_restartable", refuse)
    with pytest.raises(ExecutionUnderWay):
        restart_execution(execution.pk, ADA, Restart())
    assert statuses(execution) == {"one": "COMPLETED", "two": "QUEUED"}
    assert_consistent(execution)


def test_a_command_that_is_withdrawn_settles_what_was_left_to_it() -> None:
    execution, claim = first_of_two()

    def withdraw(_: object) -> None:
        finish_elsewhere(claim)
        raise Withdrawn

    with pytest.raises(Withdrawn):
        pause_execution(execution.pk, ADA, confirm=withdraw)
    assert statuses(execution) == {"one": "COMPLETED", "two": "QUEUED"}
    assert_consistent(execution)


def test_a_command_that_changes_nothing_settles_what_was_left_to_it() -> None:
    execution, claim = first_of_two()
    pause_execution(execution.pk, ADA)
    pause_execution(execution.pk, ADA, confirm=lambda _: finish_elsewhere(claim))
    assert BlockExecution.objects.get(pk=claim.block_execution_id).settled
    assert_consistent(execution)


def test_an_end_that_nobody_waits_for_settles_what_was_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    child = make_template([work("inner")])
    call = {
        "blockId": "call",
        "toolType": "SUBWORKFLOW",
        "configuration": {"template": child.public_id},
    }
    execution = start(make_template([work("one"), call, work("two", "one")], workspace=child.workspace))
    claim = claim_one(execution)
    ended = start(child)
    monkeypatch.setattr(child_ends, "read_block", meanwhile(read_block, claim))
    row = BlockExecution.objects.get(execution=execution, block_id="call")
    Execution.objects.filter(pk=ended.pk).update(
        status="COMPLETED", parent=execution, parent_block_execution_id=row.pk
    )
    assert child_ends.end_waiting_block(ended.pk) is None
    assert statuses(execution)["two"] == "QUEUED"

"""Some rows of the fault matrix in every run of the suite, in this process; `make faults` has all, on a real stack."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from executions_app import running
from executions_app.models import BlockExecution, Execution, RecoveryAction
from tests.chaos.fault_matrix import work as _work  # noqa: F401 - registers the use case
from tests.chaos.fault_matrix.blocks import OURS, block_of, case_of, stand_in_of
from tests.chaos.fault_matrix.judge import Outcome
from tests.chaos.fault_matrix.rows import Row, read_rows
from tests.chaos.fault_matrix.wire import Wire, serving
from tests.driver import run_until_quiet, wake_all
from tests.factories import make_agent, make_template, make_workspace, start
from workflow_service.agents.limits import tool_limits

ROWS = {row.id: row for row in read_rows()}
SHORT = (
    "api-500",
    "api-422-payment",
    "api-garbled",
    "api-lost-answer",
    "api-lost-answer-key",
    "api-down-fallback",
    "usecase-reset",
    "usecase-lost-answer",
    "usecase-bug-optional",
    "remote-down",
    "remote-lost-answer",
)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with serving() as wire:
        yield wire


@pytest.fixture(autouse=True)
def open_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = replace(tool_limits(), egress_allow=("127.0.0.1",))
    monkeypatch.setattr(running, "tool_limits", lambda: limits)


def outcome_of(row: Row, wire: Wire) -> Outcome:
    """Run a row's block until it has ended, or asks; delays are over at once."""
    case, workspace = case_of(row, OURS), make_workspace()
    wire.rows[case] = row
    if row.agent == "REMOTE":
        for agent_id, place in ((case, "main"), (stand_in_of(row, OURS), "other")):
            url = wire.url(case, place)
            make_agent(workspace, agent_id, tool_types=["API"], runtime="endpoint", endpoint=url)
    execution: Execution = start(make_template([block_of(row, OURS, wire)], workspace=workspace))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        execution = run_until_quiet(execution)
        if execution.status not in ("RUNNING", "STARTING"):
            break
        wake_all(execution)
    block = BlockExecution.objects.get(execution=execution)
    actions = RecoveryAction.objects.filter(execution=execution).order_by("id")
    ended = {"COMPLETED": "completed", "FAILED": "failed", "WAITING": "asked"}.get(block.status, "stuck")
    return Outcome(
        row=row,
        policy=OURS,
        ended=ended,
        actions=tuple(actions.values_list("strategy", flat=True)),
        injected=wire.faults[case] > 0,
        effects=wire.effects[case],
        gap_s=None,
        took_s=None,
    )


@pytest.mark.usefixtures("transactional_db")
def test_what_was_written_down_beforehand_is_done(wire: Wire) -> None:
    outcomes = [outcome_of(ROWS[identity], wire) for identity in SHORT]
    assert {one.row.id: one.wrongs for one in outcomes if one.wrongs} == {}
    assert {one.row.id: one.ended for one in outcomes} == {one.row.id: one.row.ends for one in outcomes}
    assert all(one.injected for one in outcomes)

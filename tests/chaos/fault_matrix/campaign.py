"""Runs the cases of the matrix on a stack and sees what becomes of each. Imported once there is a database."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from django.db import close_old_connections
from django.utils import timezone

from executions_app.models import BlockExecution, Execution, RecoveryAction, WorkerLease
from executions_app.services.executions import start_execution
from tests.chaos.fault_matrix.blocks import OURS, block_of, case_of, stand_in_of
from tests.chaos.fault_matrix.judge import Outcome
from tests.chaos.fault_matrix.rows import Row
from tests.chaos.fault_matrix.wire import Wire, late_listener
from tests.chaos.stack import CHILDREN, ChaosStack
from tests.factories import make_agent, make_template, make_user, make_workspace
from workflow_service.accounts.models import Role, Workspace
from workflow_service.agents.models import Agent
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES

READY_TIMEOUT_S = 120.0
CASE_TIMEOUT_S = 150.0
POLL_S = 0.1
ACTIVE = 8
# A fault that lasts for some seconds may be over before a busy machine comes to it.
TRIES = 3


@dataclass
class Case:
    """A row under a policy, while it runs."""

    row: Row
    policy: str
    execution: Execution | None = None
    began: float = 0.0
    tried: int = 0
    held: ExitStack = field(default_factory=ExitStack)

    @property
    def name(self) -> str:
        return case_of(self.row, self.policy)


class Campaign:
    """Starts the cases, some at a time, and collects their outcomes."""

    def __init__(self, wire: Wire, workspace: Workspace, stack: ChaosStack | None = None) -> None:
        self._wire, self._workspace, self._stack = wire, workspace, stack

    def register_agents(self, rows: Sequence[Row], policies: Sequence[str]) -> None:
        """Make the agents of all cases, before any worker has a list of them."""
        for policy in policies:
            for row in rows:
                case = case_of(row, policy)
                self._wire.rows[case] = row
                places = {case: "main", stand_in_of(row, policy): "other"}
                if not row.declared.get("stand_in"):
                    places = {case: "main"} if row.agent == "REMOTE" else {}
                for agent_id, place in places.items():
                    url = self._wire.url(case, place)
                    how: dict[str, Any] = {"configuration": {"endpoint": url}}
                    if row.agent == "REMOTE":
                        how = {"runtime": "endpoint", "endpoint": url}
                    works = row.fault != "disabled" or place == "other"
                    make_agent(self._workspace, agent_id, tool_types=["API"], enabled=works, **how)

    def run(self, rows: Sequence[Row], policies: Sequence[str]) -> Iterator[Outcome]:
        """Run every row under every policy; yields each outcome as it is there."""
        waiting = [Case(row, policy) for row in rows for policy in policies]
        active: list[Case] = []
        while waiting or active:
            while waiting and len(active) < ACTIVE:
                active.append(self._start(waiting.pop(0)))
            for case in list(active):
                outcome = self._look(case)
                if outcome is None:
                    continue
                active.remove(case)
                case.held.close()
                if not outcome.injected and case.tried < TRIES:
                    waiting.append(case)
                else:
                    yield outcome
            if self._stack is not None:
                self._stack.mend()
            time.sleep(POLL_S)

    def _start(self, case: Case) -> Case:
        row, wire = case.row, self._wire
        for counted in (wire.tries, wire.faults, wire.effects, wire.asked_at):
            counted.pop(case.name, None)
        case.held = ExitStack()
        port = None
        if row.fault == "refuse":
            port = case.held.enter_context(late_listener(wire, case.name, row.for_s))
        if row.fault == "disabled":
            Agent.objects.filter(public_id=case.name).update(enabled=False)
        template = make_template([block_of(row, case.policy, wire, port=port)], workspace=self._workspace)
        started = start_execution(
            workspace=self._workspace, actor=template.owner, template=template, input={}, options={}
        )
        case.execution, case.began = started.execution, time.monotonic()
        case.tried += 1
        return case

    def _look(self, case: Case) -> Outcome | None:
        """Return how a case ended; None while it goes on."""
        row, execution = case.row, case.execution
        assert execution is not None
        age_s = time.monotonic() - case.began
        if row.fault == "disabled" and row.for_s and age_s > row.for_s:
            Agent.objects.filter(public_id=case.name, enabled=False).update(enabled=True)
        execution.refresh_from_db()
        block = BlockExecution.objects.filter(execution=execution, kind="block", superseded=False).last()
        if block is None:
            return None
        asked = block.status == "WAITING" and block.waits_for == "person"
        if not asked and execution.status not in ENDED_EXECUTION_STATUSES and age_s < CASE_TIMEOUT_S:
            return None
        ended = {"COMPLETED": "completed", "FAILED": "failed"}.get(
            block.status, "asked" if asked else "stuck"
        )
        actions = list(RecoveryAction.objects.filter(execution=execution).order_by("id"))
        asked_at = self._wire.asked_at.get(case.name, [])
        end = execution.completed_at or timezone.now()
        return Outcome(
            row=row,
            policy=case.policy,
            ended=ended,
            actions=tuple(action.strategy for action in actions),
            injected=bool(actions) or self._wire.faults[case.name] > 0,
            effects=self._wire.effects[case.name],
            gap_s=round(asked_at[1] - asked_at[0], 2) if len(asked_at) > 1 else None,
            took_s=round((end - actions[0].created_at).total_seconds(), 2) if actions else None,
            error=str((block.error or {}).get("message", ""))[:300] if actions else "",
        )


def run_on(stack: ChaosStack, wire: Wire, rows: Sequence[Row], policies: Sequence[str]) -> list[Outcome]:
    """Run the matrix on a stack whose workers are yet to be started."""
    workspace = make_workspace()
    make_user(workspace, Role.APPROVER)
    campaign = Campaign(wire, workspace, stack)
    campaign.register_agents(rows, policies)
    _wait_ready(stack)
    outcomes: list[Outcome] = []
    for outcome in campaign.run(rows, policies):
        outcomes.append(outcome)
        close_old_connections()
        _tell(outcome)
    place = {row.id: number for number, row in enumerate(rows)}
    return sorted(outcomes, key=lambda one: (place[one.row.id], one.policy != OURS))


def _wait_ready(stack: ChaosStack) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while WorkerLease.objects.count() <= CHILDREN:
        if time.monotonic() > deadline:
            raise TimeoutError("the workers did not come up")
        stack.mend()
        time.sleep(POLL_S)


def _tell(one: Outcome) -> None:
    verdict = "WRONG" if one.wrongs else ("ok" if one.ended == one.row.ends else "otherwise")
    acted = ",".join(one.actions) or "-"
    sys.stdout.write(
        f"{verdict:>9}  {one.policy:<10}  {one.row.id:<24}  {one.ended:<9}  {acted}  {'; '.join(one.wrongs)}\n"
    )
    sys.stdout.flush()

"""Drives a run in random small steps, and remembers how its rows stood between them."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from approvals_app.models import Approval
from approvals_app.services.approvals import respond_to_approval
from executions_app import running
from executions_app.aftermath import follow_up
from executions_app.claiming import claim_block
from executions_app.models import BlockExecution, Execution
from executions_app.parking import take_back, wake_retries
from executions_app.progress import Claim
from tests.driver import queued_blocks
from workflow_service.accounts.models import User

MOST_STEPS = 600


@dataclass(frozen=True)
class Snapshot:
    """A run between two transactions."""

    execution: Execution
    rows: list[BlockExecution]


@dataclass
class Stepper:
    """Claims, finishes, loses, wakes and answers in a random order; ``snapshots`` has one for every step."""

    execution: Execution
    rng: Random
    responder: User | None = None
    loses: float = 0.05
    snapshots: list[Snapshot] = field(default_factory=list)
    _open: list[Claim] = field(default_factory=list)

    def run(self) -> Execution:
        """Take steps until nothing is left to do; return the execution as it then stands."""
        self._remember()
        for _ in range(MOST_STEPS):
            if not self._step():
                return self.snapshots[-1].execution
            self._remember()
        raise AssertionError(f"{self.execution} is still not quiet after {MOST_STEPS} steps")

    def _step(self) -> bool:
        queued = queued_blocks(self.execution)
        retrying = list(BlockExecution.objects.filter(execution=self.execution, status="RETRYING"))
        # A question whose block was cancelled meanwhile is closed by the next sweep only.
        waiting = BlockExecution.objects.filter(
            execution=self.execution, status="WAITING", waits_for="person"
        )
        questions = list(
            Approval.objects.filter(status="PENDING", block_execution_id__in=waiting.values("pk"))
        )
        steps: list[tuple[Callable[[Any], None], Sequence[Any]]] = [
            (self._claim, queued),
            (self._end, self._open),
            (self._answer, questions if self.responder else []),
            (self._wake, retrying),
        ]
        steps = [(step, choices) for step, choices in steps if choices]
        if not steps:
            return False
        step, choices = self.rng.choice(steps)
        step(self.rng.choice(choices))
        return True

    def _claim(self, row_id: int) -> None:
        answer = claim_block(self.execution.pk, row_id, UUID(int=self.rng.getrandbits(128)))
        if answer.claim is not None:
            self._open.append(answer.claim)

    def _end(self, claim: Claim) -> None:
        self._open.remove(claim)
        if self.rng.random() < self.loses:
            lost = [(claim.block_execution_id, claim.fence)]
            follow_up(take_back(self.execution.pk, lost), self.execution.pk)
            return
        aftermath = running.write_outcome(claim, running.work_on(claim), None)
        follow_up(aftermath, self.execution.pk)

    def _wake(self, row: BlockExecution) -> None:
        BlockExecution.objects.filter(pk=row.pk).update(due_at=self.execution.started_at)
        follow_up(wake_retries(self.execution.pk), self.execution.pk)

    def _answer(self, approval: Approval) -> None:
        assert self.responder is not None
        decides = approval.type == "INTERVENTION"
        respond_to_approval(
            approval_id=approval.public_id,
            actor=self.responder,
            approved=self.rng.random() < 0.7,
            response={"action": self.rng.choice(["retry", "skip"])} if decides else None,
            source="test",
        )

    def _remember(self) -> None:
        self.execution.refresh_from_db()
        rows = list(BlockExecution.objects.filter(execution=self.execution).order_by("id"))
        self.snapshots.append(Snapshot(copy.copy(self.execution), rows))

"""A person says what was right at a question: the run takes that way where it can still turn, and like cases follow it.

One transaction under the lock of the run: what is right, its entry in the audit trail, and the restart of the question
where the way that was taken has not begun. A block that is claimed meanwhile is either claimed before, and then nothing
turns, or finds its row taken back. Twice is the same as once: a decision that was taken back has no row to turn at.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from executions_app.errors import FourEyes
from executions_app.models import BlockExecution
from executions_app.reopening import cut_rows, read_rows
from executions_app.run_state import RunState
from executions_app.services.control import LOCK_OPEN, Asked, follow_up_all
from executions_app.services.restart import Aftermaths, Restart, restart_locked
from executions_app.transaction import EngineTransaction, command_transaction, database_now
from executions_app.trees import lock_tree
from templates_app.plans import compiled_version
from workflow_service.accounts.models import User
from workflow_service.accounts.recording import record_by
from workflow_service.decisions.errors import ChoiceInvalid
from workflow_service.decisions.models import Decision
from workflow_service.engine.graph import END_NODE
from workflow_service.engine.json_values import storable_text
from workflow_service.engine.plan import NodeKind, Plan
from workflow_service.engine.states import (
    ENDED_EXECUTION_STATUSES,
    BlockStatus,
    EdgeOutcome,
    ExecutionStatus,
)

MAX_REASON = 2_000
# What the starter of a run may not do, and who may.
OVERRIDDEN_BY_ANOTHER = ("say what was right", "have somebody else say it")
NOT_BEGUN = (BlockStatus.PENDING, BlockStatus.READY, BlockStatus.QUEUED, BlockStatus.SKIPPED)
Confirm = Callable[[Decision], object]


def unconfirmed(decision: Decision) -> None:
    """Confirm nothing."""


def override_decision(
    *,
    decision: Decision,
    actor: User,
    choice: Sequence[str],
    reason: str = "",
    confirm: Confirm = unconfirmed,
) -> Decision:
    """Note that ``choice`` (keys of its options) is what was right, and return the decision as it then stands.

    Where the run is under way and nothing has begun of the way it took, it is turned: the question is answered again,
    this time so, and a way that is to be confirmed asks for that as ever. Raises ``ChoiceInvalid``, and ``FourEyes``
    for the starter of a run whose question wants them.
    """
    if wants_other_eyes(decision, actor):
        raise FourEyes(decision.block_id, decision.execution.public_id, *OVERRIDDEN_BY_ANOTHER)
    check_choice(decision, choice)
    aftermaths: Aftermaths = []
    with command_transaction() as tx:
        runs = lock_tree(tx, decision.execution_id)
        tx.run(LOCK_OPEN, (runs[0].id,))
        decision = (
            Decision.objects.select_for_update(of=("self",)).select_related("execution").get(pk=decision.pk)
        )
        turns = list(choice) != decision.chosen and can_turn(tx, runs[0], decision)
        decision.override = list(choice)
        decision.overridden_by = actor
        decision.overridden_at = database_now()
        decision.override_reason = storable_text(reason, MAX_REASON)
        decision.rerouted = decision.rerouted or turns
        decision.save(
            update_fields=("override", "overridden_by", "overridden_at", "override_reason", "rerouted")
        )
        record_by(
            actor,
            "decision.override",
            decision.workspace_id,
            "decision",
            decision.public_id,
            execution=decision.execution.public_id,
            block=decision.block_id,
            chosen=decision.chosen,
            right=list(choice),
            rerouted=turns,
        )
        if turns:
            aftermaths = _turn(tx, runs, decision, Asked.by(actor, reason))
        confirm(decision)
    follow_up_all(aftermaths)
    return decision


def wants_other_eyes(decision: Decision, actor: User) -> bool:
    """Return whether somebody else has to say what was right: who started the run may not answer its question."""
    if decision.execution.created_by_id != actor.pk:
        return False
    compiled = compiled_version(decision.execution.version_id)
    node = compiled.plan.node_by_id.get(decision.block_id)
    block = compiled.plan.nodes[node].block if node is not None else None
    policy = compiled.definition.decision_policy(block)
    return policy.people is not None and policy.people.four_eyes


def check_choice(decision: Decision, choice: Sequence[str]) -> None:
    """Raise ``ChoiceInvalid`` unless these are ways that the decision could take."""
    known = [str(option["key"]) for option in decision.options]
    unknown = [key for key in choice if key not in known]
    if unknown:
        raise ChoiceInvalid(f"'{unknown[0][:100]}' is none of the ways", known)
    if not choice or len(set(choice)) != len(choice):
        raise ChoiceInvalid("name a way, each once", known)
    if len(choice) > 1 and not takes_several(decision):
        raise ChoiceInvalid("one way is taken here", known)


def can_turn(tx: EngineTransaction, run: RunState, decision: Decision) -> bool:
    """Return whether a locked run stands where another way may be taken: nothing has begun of the one it took.

    Nor of what that leads to: what another way has led to already would be done again.
    """
    if run.status in ENDED_EXECUTION_STATUSES or run.status is ExecutionStatus.RECOVERING or run.failing:
        return False
    plan = compiled_version(run.version_id).plan
    found = read_rows(tx, run, plan)
    row = next((each for each in found.rows if each.id == decision.block_execution_id), None)
    if row is None or not row.settled:
        return False
    targets = _taken_targets(plan, row)
    if not targets or END_NODE in targets:
        return False
    gone = found.taken_by(cut_rows(found, (row,)))
    return not any(_has_begun(plan, each) for each in gone if each.id != row.id)


def _has_begun(plan: Plan, row: Any) -> bool:
    # Who waits for a yes to its work has not begun either.
    asks = (row.status, row.waits_for, row.wait_key) == (
        BlockStatus.WAITING,
        BlockExecution.WaitsFor.PERSON,
        "",
    )
    return not asks and row.status not in NOT_BEGUN and plan.nodes[row.node].kind is not NodeKind.GATE


def _taken_targets(plan: Plan, row: Any) -> set[int]:
    outcomes = json.loads(row.outcomes) if row.outcomes else {}
    return {
        plan.edges[int(edge)].target
        for edge, outcome in outcomes.items()
        if outcome == EdgeOutcome.TAKEN.value
    }


def takes_several(decision: Decision) -> bool:
    """Return whether a decision may take several ways at once."""
    plan = compiled_version(decision.execution.version_id).plan
    node = plan.node_by_id.get(f"{decision.block_id}?")
    return node is not None and plan.nodes[node].routing.mode == "inclusive"


def _turn(tx: EngineTransaction, runs: Sequence[RunState], decision: Decision, asked: Asked) -> Aftermaths:
    _, aftermaths = restart_locked(tx, runs, asked, Restart(from_block=f"{decision.block_id}?", force=True))
    return aftermaths

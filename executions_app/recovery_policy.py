"""What may be done about a block's failures, and the one failure that a settlement itself meets: that of routing.

The work of a block whose way on cannot be found is done and stands. Where its policy asks people, the settlement
lets it wait for one; the question is written by the sweeper, as a settlement writes nothing but the run's own rows.
"""

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from executions_app.agent_work import is_map
from executions_app.models import BlockExecution
from templates_app.plans import CompiledVersion, compiled_version
from workflow_service.engine.definition import Block, RetryPolicy
from workflow_service.engine.recovery import RecoveryPolicy, RecoveryStep, allowed_strategies, policy_of
from workflow_service.engine.states import ErrorClass
from workflow_service.engine.states import RecoveryStrategy as S
from workflow_service.settings.config import get_config

if TYPE_CHECKING:
    from executions_app.settlement import Error, Settler

# What a row that waits for a person to recover it has as its ``wait_key``.
INTERVENTION = "intervention"
ROUTING = "routing"
ROUTING_ASKED = "intervention-routing"

AUTOMATIC = """
    SELECT options->>'enableAutoRecovery' AS automatic FROM executions_app_executioninput WHERE execution_id = %s
"""
WAIT_AFTER_WORK = f"""
    UPDATE executions_app_blockexecution SET status = 'WAITING', waits_for = 'person', wait_key = '{ROUTING}',
        error = %s, holds_slot = false, worker_id = NULL, fence = fence + 1, recoveries = recoveries + 1,
        unrecorded_start = false, finished_at = NULL, due_at = NULL
    WHERE id = %s
"""  # noqa: S608


def policy_for(settler: "Settler", row: Any, block: Block) -> RecoveryPolicy:
    """Return what may be done about a block's row; work that undoes is retried, and no more."""
    run = settler.run
    has_parent = run.parent_block_execution_id is not None
    if row.kind == BlockExecution.Kind.UNDO:
        return block_policy(run.version_id, row, block, has_parent=has_parent)
    found = settler.tx.one(AUTOMATIC, (run.id,))
    return block_policy(run.version_id, row, block, has_parent=has_parent, automatic=found.automatic)


def block_policy(
    version_id: int, row: Any, block: Block, *, has_parent: bool, automatic: str | None = None
) -> RecoveryPolicy:
    """Return what may be done about a row (``kind``, ``node``); ``automatic`` is the run's option, as text."""
    compiled: CompiledVersion = compiled_version(version_id)
    settings = compiled.definition.global_settings
    max_retries = get_config().workflow_retry_attempts
    if row.kind == BlockExecution.Kind.UNDO:
        default = block.retry_policy or settings.default_retry_policy
        return RecoveryPolicy(default or RetryPolicy(max_retries=max_retries), strategies=(S.RETRY,))
    policy = policy_of(
        block,
        settings,
        max_retries=max_retries,
        has_error_edge=bool(compiled.plan.nodes[row.node].error_edges),
        undoes=_undoes(version_id),
        has_parent=has_parent,
        automatic={"true": True, "false": False}.get(automatic or ""),
    )
    # Of a map its items do the work; nothing else can find out what they are.
    return replace(policy, agents=(), has_fallback=False) if is_map(row, block) else policy


@lru_cache(maxsize=1_024)
def _undoes(version_id: int) -> bool:
    compiled: CompiledVersion = compiled_version(version_id)
    return any(node.undo is not None for node in compiled.plan.nodes)


def waits_about_routing(settler: "Settler", row: Any, error: "Error") -> bool:
    """Let a block whose way on failed wait for a person, if its policy asks people about that; tell whether it does.

    The caller has counted the block as done; it is not, any more.
    """
    run = settler.run
    block = settler.plan.nodes[row.node].block
    if block is None or run.failing:
        return False
    policy = policy_for(settler, row, block)
    allowed = allowed_strategies(policy, ErrorClass.ROUTING)
    if policy.escalation is None or S.ESCALATE not in allowed:
        return False
    step = RecoveryStep(
        S.ESCALATE, f"{error.get('type')}: the work is done, and a person has to find the way on"
    )
    run.active += 1
    run.waiting_for_people += 1
    settler.tx.run(WAIT_AFTER_WORK, (Jsonb(error), row.id))
    data = settler.recoveries.action(row, step, error)
    settler.journal.event("recovery_action", row.block_id, data, row_id=row.id)
    waits_for = BlockExecution.WaitsFor.PERSON
    settler.journal.event("block_waiting", row.block_id, {"waitsFor": waits_for}, row_id=row.id)
    return True

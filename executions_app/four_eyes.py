"""Four eyes where a block is passed by without an answer: its starter does not say yes by skipping it either.

What counts is what the workflow says of the block (``fourEyes`` of its ``humanInLoop`` or of who is asked when it
fails), not whether the question has been asked yet: who may not answer may not be quicker than the question.
"""

from typing import Any

from executions_app.errors import FourEyes
from executions_app.recovery_policy import block_policy
from executions_app.settlement import Settler
from templates_app.plans import compiled_version
from workflow_service.engine.approval import human_step_of

STARTER = "SELECT created_by_id FROM executions_app_execution WHERE id = %s"


def require_other_eyes(settler: Settler, row: Any, actor_id: int | None) -> None:
    """Raise ``FourEyes`` where the starter of a locked run may not pass a row (``node``, ``kind``) by.

    ``actor_id`` is None where the service itself acts.
    """
    run = settler.run
    if actor_id is not None and _is_guarded(settler, row):
        starter = settler.tx.one(STARTER, (run.id,)).created_by_id
        if starter == actor_id:
            raise FourEyes(row.block_id, run.public_id)


def _is_guarded(settler: Settler, row: Any) -> bool:
    block = settler.plan.nodes[row.node].block
    if block is None:
        return False
    run = settler.run
    defaults = compiled_version(run.version_id).definition.global_settings.human_in_loop_defaults
    if block.asks_people and human_step_of(block, defaults).four_eyes:
        return True
    policy = block_policy(run.version_id, row, block, has_parent=run.parent_block_execution_id is not None)
    return policy.escalation is not None and policy.escalation.four_eyes

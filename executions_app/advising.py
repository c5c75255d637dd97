"""Asking a language model about a failed block: by the worker that ran it, before the failure is written down.

Nothing is locked meanwhile, and nothing depends on the answer: without one the rules decide, and what the answer says
is weighed again under the run's lock. The block is still RUNNING at this worker; if that dies here the block is taken
back as from any dead worker. The time at which it would be killed as one that hangs is moved on first.
"""

import logging
from typing import Any

from django.db import connection
from psycopg.types.json import Jsonb

from executions_app.agent_work import with_stand_ins
from executions_app.models import RecoveryAction
from executions_app.progress import Claim
from executions_app.recovering import failure_of
from executions_app.recovery_journal import BY_PERSON
from executions_app.recovery_patterns import experience_of
from executions_app.recovery_policy import block_policy
from executions_app.settlement import Error
from executions_app.transaction import DATABASE_GONE, run_alone
from templates_app.plans import compiled_version
from workflow_service.ai.client import UsageContext
from workflow_service.ai.recovery_advice import TIMEOUT_S, FailedBlock, NoAdvice, advise_recovery
from workflow_service.engine.definition import Block
from workflow_service.engine.plan import Node
from workflow_service.engine.recovery import (
    Failure,
    PastAction,
    choices_for_model,
    history_of,
)
from workflow_service.engine.recovery_advice import (
    DOES_THE_WORK,
    Experience,
    ModelAdvice,
    error_shape,
    prior_of,
)
from workflow_service.engine.states import RecoveryStrategy
from workflow_service.vault.redaction import Redactor
from workflow_service.vault.secrets import reveal_some, secret_names

logger = logging.getLogger(__name__)

# Rates are told in steps, and only where they rest on something, so that a question stays the same, and its answer is
# kept, while little is learned.
RATE_STEP = 25
LEAST_TRIES = 8
MARGIN_S = 10.0

# Nobody else's row, nor that of a run in which nothing goes on, nor of one that is to be decided without a model.
TAKE_TIME = """
    UPDATE executions_app_blockexecution b
    SET due_at = greatest(b.due_at, clock_timestamp() + make_interval(secs => %s))
    FROM executions_app_execution e
        JOIN executions_app_executioninput i ON i.execution_id = e.id
        JOIN templates_app_template t ON t.id = e.template_id
    WHERE b.id = %s AND b.fence = %s AND b.status = 'RUNNING' AND e.id = b.execution_id AND NOT e.failing
        AND NOT i.options @> %s
    RETURNING b.id, b.kind, b.node, b.block_id, b.agent_id, b.stand_in, e.created_by_id,
        t.public_id AS template_public_id, e.parent_block_execution_id IS NOT NULL AS has_parent,
        i.options->>'enableAutoRecovery' AS automatic
"""
WITHOUT_MODEL = Jsonb({"enableAiDecisions": False})


def advice_on(claim: Claim, error: Error) -> tuple[ModelAdvice | None, str]:
    """Return a model's advice on a failed try, None where nobody asks for it or it cannot be had; and why, if so."""
    compiled = compiled_version(claim.version_id)
    node = compiled.plan.nodes[claim.node]
    # What is declared tells most blocks apart, without a look at the database.
    if node.block is None or claim.undoes or not _wants_model(node, compiled.definition.global_settings):
        return None, ""
    try:
        row = _take_time(claim)
        if row is None:
            return None, ""
        return _ask(claim, row, node.block, failure_of(error))
    except NoAdvice as refused:
        return None, refused.message
    except DATABASE_GONE as gone:
        connection.close()
        return None, f"the database did not answer: {gone}"
    except Exception as broken:
        logger.exception("advice on block %s of %s failed", claim.node, claim.execution_public_id)
        return None, f"{type(broken).__name__}: {broken}"


def _wants_model(node: Node, settings: Any) -> bool:
    own = node.block.recovery if node.block else None
    if own is not None and "advice" in own.model_fields_set:
        return own.advice == "model"
    return settings.default_recovery is not None and settings.default_recovery.advice == "model"


def _take_time(claim: Claim) -> Any:
    mine = (claim.block_execution_id, claim.fence)
    return run_alone(TAKE_TIME, (TIMEOUT_S + MARGIN_S, *mine, WITHOUT_MODEL))


def _ask(claim: Claim, row: Any, block: Block, failure: Failure) -> tuple[ModelAdvice | None, str]:
    policy = block_policy(claim.version_id, row, block, has_parent=row.has_parent, automatic=row.automatic)
    policy = with_stand_ins(policy, block, row, claim.workspace_id)
    past = _past_actions(row.id)
    choices = choices_for_model(policy, failure, history_of(past, row.agent_id))
    if not choices:
        return None, ""
    experience = experience_of(claim.workspace_id, failure)
    hide = Redactor(reveal_some(claim.workspace_id, secret_names(claim.workspace_id)).values())
    failed = FailedBlock(
        error_type=failure.error_type,
        # Of the block's own secrets the message is free; others may have come with the data.
        error_shape=error_shape(hide.text(failure.message)),
        block_id=row.block_id,
        tool_type=block.tool_type or "agent",
        tried=[action.strategy for action in past],
        choices=choices,
        success_rates=_rates(experience, choices),
    )
    context = UsageContext(
        workspace_id=claim.workspace_id,
        user_id=row.created_by_id,
        template_id=row.template_public_id,
        execution_id=claim.execution_public_id,
        block_id=row.block_id,
    )
    return advise_recovery(failed, context), ""


def _past_actions(row_id: int) -> list[PastAction]:
    rows = (
        RecoveryAction.objects.filter(block_execution=row_id).exclude(suggested_by=BY_PERSON).order_by("id")
    )
    return [
        PastAction(RecoveryStrategy(strategy), agent_id)
        for strategy, agent_id in rows.values_list("strategy", "agent_id")
    ]


def _rates(experience: Experience, choices: tuple[RecoveryStrategy, ...]) -> dict[RecoveryStrategy, int]:
    """Return the rates of success that are known, in percent, in steps of ``RATE_STEP``."""
    return {
        choice: RATE_STEP
        * round(100 / RATE_STEP * experience.posterior(choice, prior_of(place, len(choices))).mean)
        for place, choice in enumerate(choices)
        if choice in DOES_THE_WORK and _tries(experience, choice) >= LEAST_TRIES
    }


def _tries(experience: Experience, strategy: RecoveryStrategy) -> int:
    seen = (rates.get(strategy) for rates in (experience.of_class, experience.of_pattern))
    return max((rate.tries for rate in seen if rate is not None), default=0)

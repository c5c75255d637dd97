"""A language model's advice on a failed block: document B sections 5.1.3 and 8.2 (``suggest_recovery``).

It chooses among the strategies that it is offered, and cannot name another: the schema of its answer lists them. Of the
error it sees the type and the shape of the message (numbers, ids and quoted values left out), so that errors of one
fingerprint are one question, cached and paid for once, and data of the run stays here. No advice is an answer too: the
caller's rules hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import JsonValue

from workflow_service.ai.client import LlmRequest, UsageContext, ask, is_configured
from workflow_service.ai.prompt_registry import get_prompt
from workflow_service.engine.errors import WorkflowError
from workflow_service.engine.recovery_advice import ModelAdvice
from workflow_service.engine.states import ErrorType, RecoveryStrategy

OPERATION = "recovery"
PROMPT = "suggest_recovery"
# A worker waits for it, and its block for that worker.
TIMEOUT_S = 10.0
MAX_COST_USD = Decimal("0.02")
MAX_REPAIRS = 1
MAX_REASONING_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True)
class FailedBlock:
    """What a model is told of a failure. ``success_rates`` are percentages; ``tried`` is what was done already."""

    error_type: ErrorType
    error_shape: str
    block_id: str
    tool_type: str
    tried: Sequence[RecoveryStrategy]
    choices: Sequence[RecoveryStrategy]
    success_rates: Mapping[RecoveryStrategy, int]


class NoAdvice(WorkflowError):
    """No model advised; the message says why."""

    code = "NO_RECOVERY_ADVICE"


def advise_recovery(failed: FailedBlock, context: UsageContext) -> ModelAdvice:
    """Return what a model would do next; raises ``NoAdvice``. To be called outside of any transaction."""
    if not is_configured():
        raise NoAdvice("no language model is configured")
    request = LlmRequest(
        PROMPT,
        _variables(failed),
        schema=_schema(failed.choices),
        operation=OPERATION,
        max_repairs=MAX_REPAIRS,
        max_cost_usd=MAX_COST_USD,
        timeout_s=TIMEOUT_S,
    )
    try:
        answer = ask(request, context)
    except WorkflowError as error:
        raise NoAdvice(error.message) from error
    value: Any = answer.value
    seconds = value.get("parameters", {}).get("backoff_seconds")
    return ModelAdvice(
        strategy=RecoveryStrategy(value["strategy"]),
        reasoning=value["reasoning"][:MAX_REASONING_CHARACTERS],
        confidence=round(value["confidence"]),
        model=answer.model,
        delay_s=None if seconds is None else float(seconds),
    )


def _variables(failed: FailedBlock) -> dict[str, JsonValue]:
    return {
        "error_type": failed.error_type.value,
        "error_message": failed.error_shape,
        "error_state": failed.block_id,
        "context": {"tool": failed.tool_type, "tried": [one.value for one in failed.tried]},
        "allowed_strategies": [one.value for one in failed.choices],
        "success_rates": {name.value: rate for name, rate in failed.success_rates.items()},
    }


def _schema(choices: Sequence[RecoveryStrategy]) -> dict[str, JsonValue]:
    schema = get_prompt(PROMPT).schema or {}
    properties = schema["properties"]
    assert isinstance(properties, dict)  # noqa: S101 - it is in the prompt's file
    return {**schema, "properties": {**properties, "strategy": {"enum": [one.value for one in choices]}}}

"""A case put to a language model, and what its answer means.

One decision is one question. The answer's schema names the declared branches and no other word, so whatever the data
say and whatever the model is talked into, nothing else can come out of it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import F, Q, QuerySet, Sum
from pydantic import JsonValue

from executions_app.block_rules import timeout_s
from executions_app.running import BlockTimeout, time_limit
from workflow_service.ai.client import LlmAnswer, LlmRequest, UsageContext, ask
from workflow_service.ai.errors import LlmUnavailable
from workflow_service.ai.models import LlmUsage
from workflow_service.ai.prompt_registry import get_prompt
from workflow_service.decisions.cases import Case
from workflow_service.engine.decision import ELSE, Choice
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.json_values import storable_text

OPERATION = "decide"
REASONING_CHARACTERS = 2_000
MAX_BLOCK_ID = 100
# A decision is to be written down before its worker is taken for hung.
WRITING_S = 10.0
NO_QUESTION = "(none)"


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a model thinks: the ``keys`` it would choose, and how sure it is (0 to 100)."""

    keys: tuple[str, ...]
    reasoning: str
    confidence: float
    model: str
    prompt: str
    cached: bool


@dataclass(frozen=True, slots=True)
class Spent:
    """What all calls for one decision came to, those that failed included."""

    cost_usd: Decimal
    tokens: int


def ask_model(case: Case) -> Opinion:
    """Ask a model which way to go. Raises what ``ask`` raises. To be called outside of any transaction."""
    policy, choice = case.policy, case.choice
    request_of = _yes_or_no if _is_yes_or_no(case) else _all_that_hold if choice.many else _one_of
    name, variables, schema = request_of(case)
    prompt = get_prompt(name)
    limit_s = max(1.0, timeout_s(None) - WRITING_S)
    if policy.timeout is not None:
        limit_s = min(limit_s, policy.timeout / 1_000)
    request = LlmRequest(
        prompt,
        variables,
        schema=schema,
        operation=OPERATION,
        model=policy.model,
        max_cost_usd=_left_usd(case),
        timeout_s=limit_s,
    )
    context = UsageContext(
        workspace_id=case.claim.workspace_id,
        user_id=case.created_by_id,
        template_id=case.template_id,
        execution_id=case.claim.execution_public_id,
        block_id=case.owner.id[:MAX_BLOCK_ID],
    )
    try:
        with time_limit(limit_s, WRITING_S / 2):
            answer = ask(request, context)
    except BlockTimeout as error:
        raise LlmUnavailable(str(error), "TIMEOUT") from None
    return _opinion(choice, answer, prompt.label)


def _left_usd(case: Case) -> Decimal | None:
    """Return what may still be spent on this decision: a worker that died, and each look at the model, spent some."""
    if case.policy.max_cost_usd is None:
        return None
    under_way = Q(state__in=(LlmUsage.State.RESERVED, LlmUsage.State.CALLED))
    spent = _calls(case).aggregate(billed=Sum("cost_usd"), reserved=Sum("reserved_usd", filter=under_way))
    limit = Decimal(str(case.policy.max_cost_usd))
    return max(Decimal(0), limit - (spent["billed"] or 0) - (spent["reserved"] or 0))


def spent_on(case: Case) -> Spent:
    """Return what was paid for a decision so far. A call that was cut short, under way still, is not billed yet."""
    found = _calls(case).aggregate(
        usd=Sum("cost_usd"), tokens=Sum(F("prompt_tokens") + F("completion_tokens"))
    )
    return Spent(found["usd"] or Decimal(0), found["tokens"] or 0)


def _calls(case: Case) -> QuerySet[LlmUsage]:
    """Return the calls for one decision: of its block's earlier rounds there are none since it came up."""
    return LlmUsage.objects.filter(
        execution_id=case.claim.execution_public_id,
        block_id=case.owner.id[:MAX_BLOCK_ID],
        operation=OPERATION,
        created_at__gte=case.since,
    )


def _is_yes_or_no(case: Case) -> bool:
    return len(case.choice.options) == 1 and case.policy.question is None and not case.choice.many


_Asked = tuple[str, dict[str, JsonValue], JsonObject]


def _yes_or_no(case: Case) -> _Asked:
    variables: dict[str, JsonValue] = {"context": case.shown, "condition": case.choice.options[0].text}
    return "evaluate_condition", variables, _schema("result", {"type": "boolean"})


def _one_of(case: Case) -> _Asked:
    schema = _schema("choice", {"enum": _keys(case.choice)})
    variables: dict[str, JsonValue] = {"values": case.shown, "options": _options(case.choice)}
    if case.policy.question is None:
        return "decide_first", variables, schema
    return "decide_best", {**variables, "question": case.policy.question}, schema


def _all_that_hold(case: Case) -> _Asked:
    one_of: JsonValue = [option.key for option in case.choice.options]
    listed: JsonObject = {"type": "array", "items": {"enum": one_of}, "uniqueItems": True}
    question = case.policy.question or NO_QUESTION
    variables: dict[str, JsonValue] = {
        "values": case.shown,
        "options": _options(case.choice),
        "question": question,
    }
    return "decide_all", variables, _schema("choices", listed)


def _schema(name: str, answer: JsonObject) -> JsonObject:
    return {
        "type": "object",
        "properties": {
            name: answer,
            "reasoning": {"type": "string"},
            "confidence": {"type": "number", "minimum": 0, "maximum": 100},
        },
        "required": [name, "reasoning", "confidence"],
        "additionalProperties": False,
    }


def _keys(choice: Choice) -> JsonValue:
    return [*(option.key for option in choice.options), ELSE]


def _options(choice: Choice) -> JsonValue:
    return [{"key": option.key, "statement": option.text} for option in choice.options]


def _opinion(choice: Choice, answer: LlmAnswer, prompt: str) -> Opinion:
    value = answer.value if isinstance(answer.value, dict) else {}
    confidence = value.get("confidence")
    return Opinion(
        keys=_chosen(choice, value),
        reasoning=storable_text(str(value.get("reasoning", "")), REASONING_CHARACTERS),
        confidence=float(confidence) if isinstance(confidence, int | float) else 0.0,
        model=answer.model,
        prompt=prompt,
        cached=answer.cached,
    )


def _chosen(choice: Choice, value: JsonObject) -> tuple[str, ...]:
    """Return the keys that an answer names; ``ELSE`` stands for whatever is taken where none of the options is."""
    if "result" in value:
        return (choice.options[0].key,) if value["result"] is True else _none(choice)
    if "choices" in value:
        listed = value["choices"]
        return _known(choice, listed if isinstance(listed, list) else []) or _none(choice)
    return _known(choice, [value.get("choice")]) or _none(choice)


def _known(choice: Choice, named: Collection[JsonValue]) -> tuple[str, ...]:
    return tuple(option.key for option in choice.options if option.key in named)


def _none(choice: Choice) -> tuple[str, ...]:
    """Return the key of the rest; ``ELSE``, which leads nowhere, where there is none."""
    return (ELSE,) if choice.rest is None else (choice.rest.key,)

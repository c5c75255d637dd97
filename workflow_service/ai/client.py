"""Ask a language model: the one door for every part of the service that does.

An answer comes from the cache, or from the first provider that gives a good one within what the budgets allow. Where it
must be JSON it fits its schema and passes the caller's own check; the model is told what is wrong and asked to mend it,
``max_repairs`` times at most. Every call of a provider is reserved before and written down after (``budgets.py``).
"""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from pydantic import JsonValue

from workflow_service.ai.answer_cache import cache_key, find_answer, keep_answer
from workflow_service.ai.answers import BadSchema, NoJson, check_schema, extract_json, schema_problems
from workflow_service.ai.budgets import (
    Purpose,
    UsageContext,
    assume_spent,
    mark_called,
    release,
    reserve,
    settle,
    track_llm_call,
)
from workflow_service.ai.errors import BudgetExceeded, LlmAnswerInvalid, LlmUnavailable, PromptInvalid
from workflow_service.ai.prompt_registry import Prompt, get_prompt
from workflow_service.ai.providers import (
    CIRCUITS,
    Candidate,
    candidates,
    cheaper_than,
    configured_providers,
)
from workflow_service.ai.transport import CallFailed, Question, Reply, estimated_prompt_tokens, send
from workflow_service.engine.errors import Problem
from workflow_service.settings.config import get_config
from workflow_service.settings.llm import Tier

__all__ = ["LlmAnswer", "LlmRequest", "UsageContext", "ask", "is_configured"]

BACKOFF_S = 0.5
MAX_BACKOFF_S = 8.0
# A whole question, with its retries and repairs, takes at most so many times as long as one call may.
CALLS_TIME = 4
SHOWN_PROBLEMS = 10
ECHOED_CHARACTERS = 20_000
SHOWN_CHARACTERS = 2_000
REFUSALS = frozenset({"refusal", "content_filter"})
REFUSED = "ANSWER_REFUSED"

Check = Callable[[JsonValue], Sequence[str]]


@dataclass(frozen=True, slots=True)
class LlmRequest:
    """What is asked. ``prompt`` is a name in the registry, ``NAME@VERSION``, or a prompt of the caller's own.

    ``schema``, ``max_tokens``, ``temperature`` and ``tier`` are the prompt's where they are None. ``check`` returns
    what is wrong with an answer that fits the schema, in sentences for the model. ``timeout_s`` and ``max_cost_usd``
    bound the whole. A cached answer serves the same workspace, and in it the same ``cache_scope``.
    """

    prompt: str | Prompt
    variables: Mapping[str, JsonValue] = field(default_factory=dict)
    schema: dict[str, JsonValue] | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    operation: str = "ask"
    check: Check | None = None
    max_repairs: int = 3
    cache: bool = True
    model: str | None = None
    tier: Tier | None = None
    max_cost_usd: Decimal | None = None
    cache_scope: str = ""
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class LlmAnswer:
    """What came of it: ``value`` is JSON where there is a schema, else the text. Tokens and cost: of all calls."""

    value: JsonValue
    text: str
    model: str
    provider: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal
    cached: bool
    repairs: int


def is_configured() -> bool:
    """Say whether there is a provider to ask."""
    return bool(configured_providers())


def ask(request: LlmRequest, context: UsageContext) -> LlmAnswer:
    """Ask and return a good answer.

    Raises ``NotConfigured``, ``LlmUnavailable`` (no provider answered), ``LlmAnswerInvalid`` (its ``problems`` say what
    is wrong with the last answer), ``BudgetExceeded``, ``PromptNotFound`` or ``PromptInvalid``. To be called outside
    of any transaction.
    """
    return _Conversation(request, context).answer()


class _Conversation:
    """One question, with the turns in which its answer is mended."""

    def __init__(self, request: LlmRequest, context: UsageContext) -> None:
        self.request, self.context = request, context
        self.prompt = request.prompt if isinstance(request.prompt, Prompt) else get_prompt(request.prompt)
        self.schema = request.schema if request.schema is not None else self.prompt.schema
        self.providers = configured_providers()
        self.found = candidates(self.providers, tier=request.tier or self.prompt.tier, model=request.model)
        _check_schema(self.schema)
        self.messages: list[Mapping[str, str]] = list(self.prompt.messages(request.variables))
        if self.schema is not None:
            self.messages[-1] = _asking_for_json(self.messages[-1], self.schema)
        self.call_timeout_s = get_config().llm_service_timeout_ms / 1_000
        self.deadline = time.monotonic() + (request.timeout_s or self.call_timeout_s * CALLS_TIME)
        self.prompt_tokens = self.completion_tokens = 0
        self.cost = Decimal(0)

    def _purpose(self) -> Purpose:
        limit = self.request.max_cost_usd
        left = None if limit is None else max(limit - self.cost, Decimal(0))
        return Purpose(self.request.operation, self.prompt.label, left)

    def answer(self) -> LlmAnswer:
        key = self._cache_key() if self.request.cache else None
        if key is not None and (kept := self._kept(key)) is not None:
            return kept
        repairs = 0
        while True:
            candidate, reply = self._call()
            value, problems = self._judge(reply)
            if not problems:
                answer = self._answer(candidate, reply, value, repairs)
                if key is not None:
                    keep_answer(key, _kept_form(answer))
                return answer
            # Who refuses does so again, and is paid for it.
            if repairs >= self.request.max_repairs or problems[0].code == REFUSED:
                raise _invalid(reply, problems, repairs)
            self.messages += _asking_to_mend(reply.text, problems)
            repairs += 1

    def _answer(self, candidate: Candidate, reply: Reply, value: JsonValue, repairs: int) -> LlmAnswer:
        return LlmAnswer(
            value=value,
            text=reply.text,
            model=candidate.model.name,
            provider=candidate.provider.name,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cost_usd=self.cost,
            cached=False,
            repairs=repairs,
        )

    def _judge(self, reply: Reply) -> tuple[JsonValue, list[Problem]]:
        """Return the answer's value, and what is wrong with it."""
        if reply.finish_reason in REFUSALS:
            return None, [Problem(REFUSED, "the model refused to answer")]
        if reply.finish_reason == "length":
            return None, [Problem("ANSWER_CUT", "it was cut off at the largest length; answer more briefly")]
        if not reply.text.strip():
            return None, [Problem("ANSWER_EMPTY", "it is empty")]
        if self.schema is None:
            return reply.text, self._checked(reply.text)
        try:
            value = extract_json(reply.text)
        except NoJson as error:
            return None, [Problem("ANSWER_NO_JSON", str(error))]
        problems = schema_problems(value, self.schema)
        return value, problems or self._checked(value)

    def _checked(self, value: JsonValue) -> list[Problem]:
        said = self.request.check(value) if self.request.check else ()
        return [Problem("ANSWER_INVALID", one) for one in said]

    def _call(self) -> tuple[Candidate, Reply]:
        """Return the first reply that a provider gives within the budgets; raises ``LlmUnavailable``."""
        failed = CallFailed("nobody was asked", "REFUSED", worked=False, again=False)
        for candidate in CIRCUITS.in_order(self.found):
            try:
                return self._call_within_budget(candidate)
            except CallFailed as error:
                failed = error
        message = f"no language model answered: {failed.message}"
        raise LlmUnavailable(message, failed.kind, failed.retry_after_s) from failed

    def _call_within_budget(self, candidate: Candidate) -> tuple[Candidate, Reply]:
        try:
            return candidate, self._call_with_retries(candidate)
        except BudgetExceeded as refused:
            if not refused.downgrade or self.request.model is not None:
                raise
            first = refused
        for cheaper in cheaper_than(candidate, self.providers):
            try:
                return cheaper, self._call_with_retries(cheaper)
            except BudgetExceeded:
                continue
        raise first

    def _call_with_retries(self, candidate: Candidate) -> Reply:
        attempts = get_config().llm_retry_attempts + 1
        for attempt in range(attempts):
            try:
                reply = self._call_once(candidate)
            except CallFailed as error:
                if error.again:
                    CIRCUITS.failed(candidate.provider.name)
                pause = _pause_s(attempt, error)
                last = attempt + 1 == attempts or not error.again
                # Who asks for a long pause is not worth waiting for while another provider may answer.
                if last or pause > MAX_BACKOFF_S or time.monotonic() + pause >= self.deadline:
                    raise
                time.sleep(pause)
            else:
                CIRCUITS.worked(candidate.provider.name)
                return reply
        raise AssertionError("unreachable")

    def _call_once(self, candidate: Candidate) -> Reply:
        """Reserve, call, settle: one call of a provider and its usage row."""
        left_s = self._left_s()
        question = self._question()
        estimate = candidate.cost_usd(estimated_prompt_tokens(question), question.max_tokens)
        usage = reserve(
            self.context,
            self._purpose(),
            candidate,
            estimate,
            timeout_s=self.call_timeout_s,
            wait_s=min(get_config().llm_budget_wait_ms / 1_000, left_s),
        )
        began = time.monotonic()
        called = False
        try:
            # Waiting for the budget took time.
            timeout_s = min(self.call_timeout_s, self._left_s())
            called = mark_called(usage)
            if not called:
                raise CallFailed("the reservation ran out", "TIMEOUT", worked=False, again=False)
            reply = send(candidate, question, timeout_s=timeout_s)
        except CallFailed as error:
            if error.worked:
                self.cost += assume_spent(usage, error.kind, _ms_since(began))
            else:
                release(usage, error.kind, _ms_since(began))
            raise
        except BaseException:
            # The block's own time is up, or the process is to end: what was sent may be billed all the same.
            if called:
                assume_spent(usage, "INTERRUPTED", _ms_since(began))
            else:
                release(usage, "INTERRUPTED")
            raise
        if reply.prompt_tokens is None or reply.completion_tokens is None:
            self.cost += assume_spent(usage, "NO_USAGE", _ms_since(began))
            return reply
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens
        self.cost += settle(
            usage,
            candidate,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            outcome=reply.finish_reason[:40] or "answered",
            latency_ms=_ms_since(began),
        )
        return reply

    def _left_s(self) -> float:
        """Return the seconds left; raises ``CallFailed`` where there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise CallFailed("there is no time left", "TIMEOUT", worked=False, again=False)
        return left

    def _question(self) -> Question:
        given = self.request
        return Question(
            messages=tuple(self.messages),
            schema=self.schema,
            max_tokens=given.max_tokens or self.prompt.max_tokens,
            temperature=self.prompt.temperature if given.temperature is None else given.temperature,
        )

    def _cache_key(self) -> str:
        question = self._question()
        return cache_key(
            workspace=self.context.workspace_id,
            scope=self.request.cache_scope,
            prompt=self.prompt.label,
            text=self.prompt.digest,
            variables=dict(self.request.variables),
            models=[list(one.key) for one in self.found],
            schema=self.schema,
            max_tokens=question.max_tokens,
            temperature=question.temperature,
        )

    def _kept(self, key: str) -> LlmAnswer | None:
        """Return the kept answer, unless the caller's check finds it wrong by now."""
        began = time.monotonic()
        kept = find_answer(key)
        if kept is None or self._checked(kept.get("value")):
            return None
        provider, model = str(kept.get("provider")), str(kept.get("model"))
        track_llm_call(self.context, self._purpose(), (provider, model), latency_ms=_ms_since(began))
        return LlmAnswer(
            value=kept.get("value"),
            text=str(kept.get("text")),
            model=model,
            provider=provider,
            prompt_tokens=0,
            completion_tokens=0,
            cost_usd=Decimal(0),
            cached=True,
            repairs=0,
        )


def _invalid(reply: Reply, problems: Sequence[Problem], repairs: int) -> LlmAnswerInvalid:
    said = "; ".join(f"{one.pointer}: {one.message}" if one.pointer else one.message for one in problems[:3])
    message = f"the model's answer is not valid after {repairs} repair(s): {said}"
    return LlmAnswerInvalid(message, problems, reply.text[:SHOWN_CHARACTERS])


def _check_schema(schema: JsonValue) -> None:
    try:
        check_schema(schema)
    except BadSchema as error:
        raise PromptInvalid(f"the answer's schema is no JSON Schema that can be used: {error}") from None


def _kept_form(answer: LlmAnswer) -> dict[str, JsonValue]:
    return {"value": answer.value, "text": answer.text, "model": answer.model, "provider": answer.provider}


def _asking_for_json(message: Mapping[str, str], schema: JsonValue) -> dict[str, str]:
    """Say the schema in words too: not every endpoint takes it as a field."""
    wanted = json.dumps(schema, ensure_ascii=False)
    how = f"Answer with one JSON value and nothing else. It must fit this JSON Schema:\n{wanted}"
    return {"role": message["role"], "content": f"{message['content']}\n\n{how}"}


def _asking_to_mend(text: str, problems: Sequence[Problem]) -> list[dict[str, str]]:
    listed = "\n".join(
        f"- {one.pointer + ': ' if one.pointer else ''}{one.message}" for one in problems[:SHOWN_PROBLEMS]
    )
    content = (
        f"This answer cannot be used:\n{listed}\n\nGive the whole answer again, with these things mended."
    )
    return [
        {"role": "assistant", "content": text[:ECHOED_CHARACTERS] or "(nothing)"},
        {"role": "user", "content": content},
    ]


def _pause_s(attempt: int, error: CallFailed) -> float:
    """Return the pause before the next try, in seconds: what the provider asked for, or more at each try."""
    grown: float = min(MAX_BACKOFF_S, BACKOFF_S * 2**attempt)
    return max(error.retry_after_s or 0.0, grown * random.uniform(0.5, 1.0))  # noqa: S311


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1_000)

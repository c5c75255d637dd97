"""What is done about a failed block: the ladder of document A sections 10.3 and 16, document B section 5.1.3.

``decide_recovery`` walks the strategies that a block's policy allows and answers with the first that can still be
tried, as a value; applying it is somebody else's. What worked before, and a language model, may change which of the
strategies that do the work again comes first, and never add one (``recovery_advice.py``). The walk ends: every strategy
is bounded by the block's history, and ``abort`` is always the last.

Work that is not idempotent is not done again where it may have been done already: neither by a retry nor by anybody
else. People are asked about that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from workflow_service.engine.definition import (
    Block,
    Escalation,
    GlobalSettings,
    Recovery,
    RecoveryDefaults,
    RetryPolicy,
)
from workflow_service.engine.recovery_advice import DOES_THE_WORK, Experience, ModelAdvice, advise
from workflow_service.engine.retry import decide_retry
from workflow_service.engine.states import ErrorClass, ErrorType, RecoveryStrategy, ToolType

S, C, T = RecoveryStrategy, ErrorClass, ErrorType

CLASS_OF: Mapping[ErrorType, ErrorClass] = {
    T.TIMEOUT_ERROR: C.TRANSIENT,
    T.NETWORK_ERROR: C.TRANSIENT,
    T.RATE_LIMIT_ERROR: C.TRANSIENT,
    T.WORKER_LOST: C.TRANSIENT,
    T.AGENT_UNAVAILABLE: C.AGENT_UNAVAILABLE,
    T.VALIDATION_ERROR: C.VALIDATION,
    T.AUTHORIZATION_ERROR: C.AUTHORIZATION,
    T.RESOURCE_NOT_FOUND: C.RESOURCE_NOT_FOUND,
    T.CONFIGURATION_ERROR: C.CONFIGURATION,
    T.SYSTEM_ERROR: C.SYSTEM,
    T.NO_BRANCH_MATCHED: C.ROUTING,
    T.ROUTING_ERROR: C.ROUTING,
}

# Where a block says nothing itself. Each is tried only where it can be: see ``_step``.
DEFAULT_LADDERS: Mapping[ErrorClass, tuple[RecoveryStrategy, ...]] = {
    C.TRANSIENT: (S.RETRY, S.REASSIGN, S.FALLBACK, S.SKIP, S.ESCALATE),
    C.AGENT_UNAVAILABLE: (S.REASSIGN, S.RETRY, S.QUEUE, S.FALLBACK, S.SKIP, S.ESCALATE),
    C.VALIDATION: (S.RETRY, S.FALLBACK, S.SKIP, S.ESCALATE),
    C.AUTHORIZATION: (S.RETRY, S.REASSIGN, S.FALLBACK, S.SKIP, S.ESCALATE),
    C.RESOURCE_NOT_FOUND: (S.RETRY, S.REASSIGN, S.FALLBACK, S.SKIP, S.ESCALATE),
    C.CONFIGURATION: (S.RETRY, S.FALLBACK, S.SKIP, S.ESCALATE),
    C.SYSTEM: (S.RETRY, S.REASSIGN, S.FALLBACK, S.SKIP, S.ESCALATE),
    C.ROUTING: (S.ESCALATE,),
    C.FINAL: (),
}

WAITS_FOR_AGENTS = frozenset({C.TRANSIENT, C.AGENT_UNAVAILABLE})
# After these the work may have been done all the same. The others say that it was refused.
MAY_BE_DONE = frozenset(
    {
        T.TIMEOUT_ERROR,
        T.NETWORK_ERROR,
        T.WORKER_LOST,
        T.AGENT_UNAVAILABLE,
        T.VALIDATION_ERROR,
        T.SYSTEM_ERROR,
    }
)
# A model chooses among what goes on. Giving something up is for the rules, and for people.
MODEL_MAY_CHOOSE = DOES_THE_WORK | {S.ESCALATE}
# Advice that its giver is less sure of (0 to 100) is not followed.
MIN_CONFIDENCE = 50


@dataclass(frozen=True, slots=True)
class Failure:
    """How a block's work failed. ``retry_after_s`` is what the other side asked for.

    ``not_done``: whoever failed knows that nothing was done; a connection that was refused, say.
    """

    error_type: ErrorType
    message: str
    retryable: bool
    retry_after_s: float | None = None
    not_done: bool = False

    @property
    def error_class(self) -> ErrorClass:
        return classify(self.error_type)

    @property
    def may_be_done(self) -> bool:
        """Whether the work may have been done although it failed."""
        return self.error_type in MAY_BE_DONE and not self.not_done


@dataclass(frozen=True, slots=True)
class RecoveryPolicy:
    """What may be done about one block's failures: what it declares over the workflow's defaults.

    ``escalation`` is None where nobody is to be asked, ``undoes`` says that the workflow declares work to undo.
    ``asks_if_invalid``: nothing is declared against its failures, and people are asked about values that do not fit.
    ``asks_if_unknown``: so they are where work that is not ``idempotent`` may have been done. ``advice`` says who may
    change the order: nobody (``rules``), what worked before (``history``), or a model too.
    """

    retry: RetryPolicy
    strategies: tuple[RecoveryStrategy, ...] | None = None
    agents: tuple[str, ...] = ()
    queue_delay_s: float = 60.0
    max_queued: int = 5
    has_fallback: bool = False
    optional: bool = False
    escalation: Escalation | None = None
    undoes: bool = False
    asks_if_invalid: bool = False
    idempotent: bool = True
    asks_if_unknown: bool = False
    advice: Literal["rules", "history", "model"] = "history"


@dataclass(frozen=True, slots=True)
class PastAction:
    """One earlier step for the same block; ``agent_id`` is who was to do the work after it."""

    strategy: RecoveryStrategy
    agent_id: str = ""


@dataclass(frozen=True, slots=True)
class RecoveryHistory:
    """What was tried already. ``retries`` counts those of the work as it is now: by this agent, in this form."""

    retries: int = 0
    queued: int = 0
    agents: frozenset[str] = frozenset()
    fell_back: bool = False


@dataclass(frozen=True, slots=True)
class RecoveryStep:
    """What to do now. ``delay_s`` is for ``retry`` and ``queue``, ``agent_id`` for ``reassign``.

    ``advised_by``: who put it before what is declared to come first.
    """

    strategy: RecoveryStrategy
    reason: str
    delay_s: float = 0.0
    agent_id: str = ""
    advised_by: Literal["rules", "history", "ai"] = "rules"


def classify(error_type: ErrorType) -> ErrorClass:
    """Return the class of an error type; what has none is final."""
    return CLASS_OF.get(error_type, ErrorClass.FINAL)


def policy_of(
    block: Block,
    settings: GlobalSettings,
    *,
    max_retries: int,
    has_error_edge: bool = False,
    undoes: bool = False,
    has_parent: bool = False,
    automatic: bool | None = None,
) -> RecoveryPolicy:
    """Return what may be done about ``block``: its own ``recovery`` over the workflow's ``defaultRecovery``.

    ``max_retries`` holds where no retry policy is given. ``automatic`` is the run's option: True asks people about
    every block that has no other way out, False leaves nothing but retries.

    What does not fit would not fit again, and a block that is not optional cannot be done without: where the workflow
    says nothing about the block's failures a person is asked about those. Items of a map are too many to ask about, and
    of a sub-workflow (``has_parent``) the run above decides, as its block's failure. Work that must not be done twice,
    and may have been done, is asked about wherever nothing is declared against the block's failures.
    """
    own = block.recovery or Recovery()
    common = settings.default_recovery or RecoveryDefaults()
    said = {name: getattr(common, name) for name in common.model_fields_set - own.model_fields_set}
    merged = own.model_copy(update=said)
    escalation = merged.escalate
    strategies = merged.strategies
    asks_if_invalid = (
        automatic is None
        and strategies is None
        and not (has_error_edge or has_parent or undoes)
        and settings.on_failure == "fail"
        and block.for_each is None
        and block.tool_type is not ToolType.SUBWORKFLOW
    )
    if automatic is False:
        strategies, escalation = (S.RETRY,), None
    elif escalation is None and (
        S.ESCALATE in (strategies or ()) or (automatic and strategies is None and not has_error_edge)
    ):
        escalation = Escalation()
    return RecoveryPolicy(
        retry=block.retry_policy or settings.default_retry_policy or RetryPolicy(max_retries=max_retries),
        strategies=strategies,
        agents=own.agents,
        queue_delay_s=merged.queue_delay / 1_000,
        max_queued=merged.max_queued,
        has_fallback=own.fallback is not None,
        optional=block.optional or S.SKIP in (strategies or ()),
        escalation=escalation,
        undoes=undoes and not has_error_edge,
        asks_if_invalid=asks_if_invalid,
        idempotent=own.idempotent,
        asks_if_unknown=automatic is None and strategies is None and not has_error_edge,
        advice=merged.advice,
    )


def history_of(actions: Iterable[PastAction], agent_id: str = "") -> RecoveryHistory:
    """Return what the earlier steps for a block come to; ``agent_id`` is whose turn it is now."""
    retries = queued = 0
    fell_back = False
    agents = {agent_id} if agent_id else set()
    for action in actions:
        match action.strategy:
            case S.RETRY:
                retries += 1
            case S.QUEUE:
                queued += 1
            case S.REASSIGN | S.FALLBACK | S.ESCALATE:
                # Another agent, other work, or work that a person mended: it may fail afresh.
                retries = queued = 0
                fell_back = fell_back or action.strategy is S.FALLBACK
        if action.agent_id:
            agents.add(action.agent_id)
    return RecoveryHistory(retries, queued, frozenset(agents), fell_back)


def allowed_strategies(policy: RecoveryPolicy, error_class: ErrorClass) -> tuple[RecoveryStrategy, ...]:
    """Return what may be tried for errors of a class, in the declared order; ``abort`` ends it."""
    if error_class is ErrorClass.FINAL:
        return (S.ABORT,)
    ladder = DEFAULT_LADDERS[error_class] if policy.strategies is None else policy.strategies
    found = tuple(dict.fromkeys((*ladder, S.ABORT)))
    return found[: found.index(S.ABORT) + 1]


def decide_recovery(
    policy: RecoveryPolicy,
    failure: Failure,
    history: RecoveryHistory,
    *,
    jitter: float,
    experience: Experience | None = None,
    advice: ModelAdvice | None = None,
) -> RecoveryStep:
    """Return the next step for a failed block; ``jitter`` is a random number in [0, 1).

    ``advice`` is followed where ``choices_for_model`` offers it; else what is best by experience, in the order allowed.
    """
    steps = _possible_steps(policy, failure, history, jitter, experience or Experience())
    if advice is not None and advice.confidence >= MIN_CONFIDENCE:
        for step in _choices(policy, steps):
            if step.strategy is advice.strategy:
                return _as_advised(step, advice, policy)
    return steps[0]


def choices_for_model(
    policy: RecoveryPolicy, failure: Failure, history: RecoveryHistory
) -> tuple[RecoveryStrategy, ...]:
    """Return what a model may choose among, in the order allowed; nothing where there is no choice to make."""
    steps = _possible_steps(policy, failure, history, 0.0, Experience())
    found = tuple(step.strategy for step in _choices(policy, steps))
    return found if len(found) > 1 else ()


def _choices(policy: RecoveryPolicy, steps: list[RecoveryStep]) -> list[RecoveryStep]:
    """Return the steps that a model may choose among: those up to the first that gives something up."""
    if policy.advice != "model":
        return []
    found: list[RecoveryStep] = []
    for step in steps:
        if step.strategy not in MODEL_MAY_CHOOSE:
            break
        found.append(step)
    return found


def _as_advised(step: RecoveryStep, advice: ModelAdvice, policy: RecoveryPolicy) -> RecoveryStep:
    delay_s = step.delay_s
    if step.strategy is S.RETRY and advice.delay_s is not None:
        # It may ask for patience, as far as the policy has any, and never for haste.
        delay_s = max(delay_s, min(advice.delay_s, policy.retry.max_delay / 1_000))
    reason = f"{step.reason}; advised by {advice.model} ({advice.confidence} %)"
    return replace(step, reason=reason, delay_s=delay_s, advised_by="ai")


def _possible_steps(
    policy: RecoveryPolicy,
    failure: Failure,
    history: RecoveryHistory,
    jitter: float,
    experience: Experience,
) -> list[RecoveryStep]:
    """Return every step that can be taken now, the best one first; ``abort`` is always the last."""
    allowed = allowed_strategies(policy, failure.error_class)
    refusals: list[str] = []
    steps: list[RecoveryStep] = []
    seen = Experience() if policy.advice == "rules" else experience
    for place, advice in enumerate(advise(allowed, seen)):
        step = _step(advice.strategy, policy, failure, history, jitter, refusals)
        if step is None:
            continue
        if allowed[place] is not advice.strategy:
            step = replace(step, reason=f"{step.reason}; {advice.reason}", advised_by="history")
        steps.append(step)
    return steps


def _step(
    strategy: RecoveryStrategy,
    policy: RecoveryPolicy,
    failure: Failure,
    history: RecoveryHistory,
    jitter: float,
    refusals: list[str],
) -> RecoveryStep | None:
    """Return the step if ``strategy`` can still be tried; None otherwise, perhaps with the reason in ``refusals``."""
    unknown = failure.may_be_done and not policy.idempotent
    if unknown and strategy in DOES_THE_WORK:
        refusals.append("it is not known whether the work was done, and it must not be done twice")
        return None
    match strategy:
        case S.RETRY:
            return _retry(policy, failure, history, jitter, refusals)
        case S.REASSIGN:
            free = [agent for agent in policy.agents if agent not in history.agents]
            if not free or history.fell_back:
                return None
            return RecoveryStep(
                strategy, f"{failure.error_type}: agent '{free[0]}' has not tried it", agent_id=free[0]
            )
        case S.QUEUE if failure.error_class in WAITS_FOR_AGENTS and history.queued < policy.max_queued:
            delay_s = policy.queue_delay_s * (0.5 + jitter / 2)
            reason = f"no agent is free: look again ({history.queued + 1} of {policy.max_queued})"
            return RecoveryStep(strategy, reason, delay_s=delay_s)
        case S.FALLBACK if policy.has_fallback and not history.fell_back:
            return RecoveryStep(strategy, f"{failure.error_type}: do the declared fallback instead")
        case S.SKIP if policy.optional:
            return RecoveryStep(strategy, f"{failure.error_type}: the block may be done without")
        case S.ESCALATE if (
            policy.escalation is not None
            or (policy.asks_if_invalid and failure.error_class is ErrorClass.VALIDATION)
            or (policy.asks_if_unknown and unknown)
        ):
            why = "it may have been done, and " if unknown else ""
            return RecoveryStep(strategy, f"{failure.error_type}: {why}a person has to decide")
        case S.COMPENSATE if policy.undoes:
            return RecoveryStep(strategy, f"{failure.error_type}: give up, and undo what was done")
        case S.ABORT:
            why = (
                "; ".join(dict.fromkeys(refusals)) or f"{failure.error_type}: nothing is declared against it"
            )
            return RecoveryStep(strategy, why)
    return None


def _retry(
    policy: RecoveryPolicy, failure: Failure, history: RecoveryHistory, jitter: float, refusals: list[str]
) -> RecoveryStep | None:
    decision = decide_retry(
        policy.retry,
        error_type=failure.error_type,
        retryable=failure.retryable,
        retries_so_far=history.retries,
        jitter=jitter,
        retry_after_s=failure.retry_after_s,
    )
    if decision.retry:
        return RecoveryStep(RecoveryStrategy.RETRY, decision.reason, delay_s=decision.delay_s)
    refusals.append(decision.reason)
    return None

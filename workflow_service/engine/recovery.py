"""What is done about a failed block: the ladder of document A sections 10.3 and 16, document B section 5.1.3.

``decide_recovery`` walks the strategies that a block's policy allows and answers with the first that can still be
tried, as a value; applying it is somebody else's. What worked before for errors of the same class may change the order
of the strategies that do the work again, and never adds one (``advise``). The walk ends: every strategy is bounded by
the block's history, and ``abort`` is always the last.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from workflow_service.engine.definition import (
    Block,
    Escalation,
    GlobalSettings,
    Recovery,
    RecoveryDefaults,
    RetryPolicy,
)
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

# These do the work again, so that what worked before says which to try first. The others give something up.
DOES_THE_WORK = frozenset({S.RETRY, S.REASSIGN, S.QUEUE, S.FALLBACK})
WAITS_FOR_AGENTS = frozenset({C.TRANSIENT, C.AGENT_UNAVAILABLE})

# The declared order counts as this many observations; its first strategy is expected to work so often, its last so.
PRIOR_WEIGHT = 10
PRIOR_FIRST, PRIOR_LAST = 0.7, 0.3


@dataclass(frozen=True, slots=True)
class Failure:
    """How a block's work failed. ``retry_after_s`` is what the other side asked for."""

    error_type: ErrorType
    message: str
    retryable: bool
    retry_after_s: float | None = None

    @property
    def error_class(self) -> ErrorClass:
        return classify(self.error_type)


@dataclass(frozen=True, slots=True)
class RecoveryPolicy:
    """What may be done about one block's failures: what it declares over the workflow's defaults.

    ``escalation`` is None where nobody is to be asked, ``undoes`` says that the workflow declares work to undo.
    ``asks_if_invalid``: nothing is declared against its failures, and people are asked about values that do not fit.
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
class SuccessRate:
    """How often a strategy worked, and did not, for errors of one class."""

    succeeded: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Advice:
    """A strategy with its expected rate of success (0 to 1) and why it stands where it does."""

    strategy: RecoveryStrategy
    expected: float
    reason: str


@dataclass(frozen=True, slots=True)
class RecoveryStep:
    """What to do now. ``delay_s`` is for ``retry`` and ``queue``, ``agent_id`` for ``reassign``."""

    strategy: RecoveryStrategy
    reason: str
    delay_s: float = 0.0
    agent_id: str = ""


def classify(error_type: ErrorType) -> ErrorClass:
    """Return the class of an error type; what has none is final."""
    return CLASS_OF.get(error_type, ErrorClass.FINAL)


def fingerprint(error_type: ErrorType, message: str) -> str:
    """Return a short name for errors that are alike: numbers, ids and quoted values do not tell them apart."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", message[:2_000])
    text = re.sub(r"\b(?=\w*\d)[0-9A-Za-z_-]+\b", "#", text)
    return sha256(f"{error_type}:{text}".encode()).hexdigest()[:16]


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
    of a sub-workflow (``has_parent``) the run above decides, as its block's failure.
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


def advise(
    strategies: Sequence[RecoveryStrategy], rates: Mapping[RecoveryStrategy, SuccessRate]
) -> tuple[Advice, ...]:
    """Return the strategies in the order in which they are best tried, each with its reason.

    Only neighbours that do the work again change places. The expected rate is the mean of a Beta distribution whose
    prior is the declared order, so a few observations change nothing.
    """
    found: list[Advice] = []
    for group in _neighbours(strategies):
        if len(group) == 1 or group[0] not in DOES_THE_WORK:
            found += [_advice(strategy, rates, PRIOR_FIRST) for strategy in group]
            continue
        step = (PRIOR_FIRST - PRIOR_LAST) / (len(group) - 1)
        weighed = [_advice(each, rates, PRIOR_FIRST - step * place) for place, each in enumerate(group)]
        found += sorted(weighed, key=lambda advice: -advice.expected)
    return tuple(found)


def decide_recovery(
    policy: RecoveryPolicy,
    failure: Failure,
    history: RecoveryHistory,
    *,
    jitter: float,
    rates: Mapping[RecoveryStrategy, SuccessRate] | None = None,
) -> RecoveryStep:
    """Return the next step for a failed block; ``jitter`` is a random number in [0, 1)."""
    allowed = allowed_strategies(policy, failure.error_class)
    refusals: list[str] = []
    for place, advice in enumerate(advise(allowed, rates or {})):
        step = _step(advice.strategy, policy, failure, history, jitter, refusals)
        if step is not None:
            moved = allowed[place] is not advice.strategy
            return replace(step, reason=f"{step.reason}; {advice.reason}") if moved else step
    raise AssertionError("abort can always be done")  # pragma: no cover - allowed_strategies ends with it


def _step(
    strategy: RecoveryStrategy,
    policy: RecoveryPolicy,
    failure: Failure,
    history: RecoveryHistory,
    jitter: float,
    refusals: list[str],
) -> RecoveryStep | None:
    """Return the step if ``strategy`` can still be tried; None otherwise, perhaps with the reason in ``refusals``."""
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
        case S.ESCALATE if policy.escalation is not None or (
            policy.asks_if_invalid and failure.error_class is ErrorClass.VALIDATION
        ):
            return RecoveryStep(strategy, f"{failure.error_type}: a person has to decide")
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


def _neighbours(strategies: Sequence[RecoveryStrategy]) -> list[list[RecoveryStrategy]]:
    """Return the strategies in groups of neighbours that do the work again, and that do not."""
    groups: list[list[RecoveryStrategy]] = []
    for strategy in strategies:
        if groups and (strategy in DOES_THE_WORK) == (groups[-1][0] in DOES_THE_WORK):
            groups[-1].append(strategy)
        else:
            groups.append([strategy])
    return groups


def _advice(
    strategy: RecoveryStrategy, rates: Mapping[RecoveryStrategy, SuccessRate], prior: float
) -> Advice:
    seen = rates.get(strategy, SuccessRate())
    tries = seen.succeeded + seen.failed
    expected = (PRIOR_WEIGHT * prior + seen.succeeded) / (PRIOR_WEIGHT + tries)
    reason = f"worked in {seen.succeeded} of {tries} cases" if tries else "in the declared order"
    return Advice(strategy, expected, reason)

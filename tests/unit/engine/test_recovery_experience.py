"""What is known of strategies, and what follows: rates with their certainty, and who may change the order."""

from typing import Any

import pytest

from workflow_service.engine.beta_distribution import Beta
from workflow_service.engine.definition import Block, GlobalSettings
from workflow_service.engine.recovery import (
    Failure,
    PastAction,
    RecoveryHistory,
    RecoveryPolicy,
    choices_for_model,
    decide_recovery,
    history_of,
    policy_of,
)
from workflow_service.engine.recovery_advice import (
    Experience,
    ModelAdvice,
    SuccessRate,
    advise,
    error_shape,
    fingerprint,
)
from workflow_service.engine.states import ErrorType
from workflow_service.engine.states import RecoveryStrategy as S

LOST = Failure(ErrorType.TIMEOUT_ERROR, "no answer within 3 s", retryable=True)
WAYS: dict[str, Any] = {"agents": ["other"], "fallback": {"toolType": "NOOP"}, "escalate": {}}


def policy(*, automatic: bool | None = None, edge: bool = False, **recovery: Any) -> RecoveryPolicy:
    block = Block.model_validate({"blockId": "b", "toolType": "API", "recovery": recovery})
    return policy_of(block, GlobalSettings(), max_retries=3, automatic=automatic, has_error_edge=edge)


def decide(policy: RecoveryPolicy, failure: Failure = LOST, **known: Any) -> Any:
    return decide_recovery(policy, failure, RecoveryHistory(), jitter=1.0, **known)


def said(strategy: S, confidence: int = 90, delay_s: float | None = None) -> ModelAdvice:
    return ModelAdvice(strategy, "because", confidence, "m", delay_s)


# The distribution. Values of the incomplete beta function as tables have them.


@pytest.mark.parametrize(
    ("a", "b", "rate", "below"),
    [
        (1, 1, 0.3, 0.3),
        (2, 1, 0.5, 0.25),
        (2, 3, 0.4, 0.5248),
        (0.5, 0.5, 0.25, 1 / 3),
        (10, 10, 0.5, 0.5),
        (7, 3, 0.0, 0.0),
        (7, 3, 1.0, 1.0),
    ],
    ids=str,
)
def test_the_distribution_is_that_of_the_tables(a: float, b: float, rate: float, below: float) -> None:
    assert Beta(a, b).below(rate) == pytest.approx(below, abs=1e-6)


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.95], ids=str)
def test_quantiles_invert_it(probability: float) -> None:
    known = Beta.around(0.7, 10).after(400, 100)
    assert known.below(known.quantile(probability)) == pytest.approx(probability, abs=1e-6)


def test_evidence_narrows_the_interval_around_the_mean() -> None:
    prior = Beta.around(0.7, 10)
    low, high = prior.interval()
    later_low, later_high = prior.after(70, 30).interval()
    assert low < later_low < 0.7 < later_high < high


# Patterns


def test_a_pattern_without_a_past_is_as_its_class() -> None:
    known = Experience({S.RETRY: SuccessRate(3, 97)})
    assert known.posterior(S.RETRY, 0.7).mean == pytest.approx(0.0909, abs=1e-4)


def test_little_evidence_leaves_a_pattern_near_its_class_and_much_wins() -> None:
    of_class = {S.RETRY: SuccessRate(90, 12)}
    little = Experience(of_class, {S.RETRY: SuccessRate(0, 2)}).posterior(S.RETRY, 0.7).mean
    much = Experience(of_class, {S.RETRY: SuccessRate(0, 60)}).posterior(S.RETRY, 0.7).mean
    assert little > 0.7
    assert much < 0.15


def test_what_a_pattern_did_counts_once() -> None:
    own = {S.RETRY: SuccessRate(0, 50)}
    alone = Experience(own, own).posterior(S.RETRY, 0.7)
    assert alone == Beta.around(0.7, 10).after(0, 50)


def test_a_pattern_of_its_own_changes_the_order_for_itself_alone() -> None:
    ladder = (S.RETRY, S.FALLBACK, S.ESCALATE, S.ABORT)
    of_class = {S.RETRY: SuccessRate(80, 20), S.FALLBACK: SuccessRate(20, 5)}
    hopeless = {S.RETRY: SuccessRate(0, 15)}
    assert advise(ladder, Experience(of_class))[0].strategy is S.RETRY
    assert [one.strategy for one in advise(ladder, Experience(of_class, hopeless))] == [
        S.FALLBACK, S.RETRY, S.ESCALATE, S.ABORT,
    ]  # fmt: skip


def test_what_is_alike_has_one_fingerprint_and_no_data() -> None:
    one, other = "order 17 of 'Ada' was lost", "order 99 of 'Bob Smith' was lost"
    assert error_shape(one) == "order # of '…' was lost"
    assert fingerprint(ErrorType.SYSTEM_ERROR, one) == fingerprint(ErrorType.SYSTEM_ERROR, other)


# Who may change the order


def test_rules_alone_hold_where_a_workflow_says_so() -> None:
    known = Experience({S.RETRY: SuccessRate(0, 90), S.FALLBACK: SuccessRate(90, 0)})
    assert decide(policy(**WAYS), experience=known).strategy is S.FALLBACK
    assert decide(policy(**WAYS), experience=known).advised_by == "history"
    step = decide(policy(**WAYS, advice="rules"), experience=known)
    assert (step.strategy, step.advised_by) == (S.RETRY, "rules")


@pytest.mark.parametrize("chosen", [S.REASSIGN, S.FALLBACK, S.ESCALATE], ids=str)
def test_a_model_chooses_among_what_is_left(chosen: S) -> None:
    step = decide(policy(**WAYS, advice="model"), advice=said(chosen))
    assert (step.strategy, step.advised_by) == (chosen, "ai")


@pytest.mark.parametrize("chosen", [S.SKIP, S.COMPENSATE, S.ABORT, S.QUEUE], ids=str)
def test_a_model_gives_nothing_up_and_adds_nothing(chosen: S) -> None:
    step = decide(
        policy(**WAYS, strategies=["retry", "fallback", "skip"], advice="model"), advice=said(chosen)
    )
    assert (step.strategy, step.advised_by) == (S.RETRY, "rules")


@pytest.mark.parametrize("asks", ["rules", "history"], ids=str)
def test_no_model_is_heard_where_none_was_wanted(asks: str) -> None:
    assert decide(policy(**WAYS, advice=asks), advice=said(S.FALLBACK)).strategy is S.RETRY
    assert choices_for_model(policy(**WAYS, advice=asks), LOST, RecoveryHistory()) == ()


def test_a_model_that_is_not_sure_is_not_heard() -> None:
    assert decide(policy(**WAYS, advice="model"), advice=said(S.FALLBACK, confidence=49)).strategy is S.RETRY


@pytest.mark.parametrize(
    ("wanted_s", "delay_s"), [(0.0, 1.0), (5.0, 5.0), (900.0, 30.0)], ids=["haste", "patience", "too long"]
)
def test_a_model_may_ask_for_patience_within_the_policy(wanted_s: float, delay_s: float) -> None:
    step = decide(policy(**WAYS, advice="model"), advice=said(S.RETRY, delay_s=wanted_s))
    assert step.delay_s == delay_s


def test_a_model_is_offered_what_is_left_and_nothing_where_that_is_no_choice() -> None:
    asking = policy(**WAYS, advice="model")
    assert choices_for_model(asking, LOST, RecoveryHistory()) == (S.RETRY, S.REASSIGN, S.FALLBACK, S.ESCALATE)
    used = history_of([PastAction(S.RETRY)] * 3 + [PastAction(S.FALLBACK)])
    assert choices_for_model(asking, LOST, used) == (S.RETRY, S.ESCALATE)
    assert choices_for_model(policy(advice="model"), LOST, RecoveryHistory()) == ()


# Work that must not be done twice


@pytest.mark.parametrize(
    "error_type",
    [
        "TIMEOUT_ERROR",
        "NETWORK_ERROR",
        "SYSTEM_ERROR",
        "WORKER_LOST",
        "AGENT_UNAVAILABLE",
        "VALIDATION_ERROR",
    ],
)
def test_work_that_may_have_been_done_is_asked_about(error_type: str) -> None:
    failure = Failure(ErrorType(error_type), "lost", retryable=True)
    step = decide(policy(idempotent=False, agents=["other"], fallback={"toolType": "NOOP"}), failure)
    assert step.strategy is S.ESCALATE
    assert "may have been done" in step.reason


@pytest.mark.parametrize("error_type", ["RATE_LIMIT_ERROR", "NETWORK_ERROR", "TIMEOUT_ERROR"])
def test_work_that_was_not_done_is_done_again(error_type: str) -> None:
    failure = Failure(ErrorType(error_type), "refused", retryable=True, not_done=True)
    assert decide(policy(idempotent=False), failure).strategy is S.RETRY


def test_no_experience_and_no_model_has_it_done_twice() -> None:
    known = Experience({one: SuccessRate(99, 0) for one in (S.RETRY, S.REASSIGN, S.FALLBACK)})
    asking = policy(**WAYS, idempotent=False, advice="model")
    assert decide(asking, experience=known, advice=said(S.RETRY)).strategy is S.ESCALATE


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"strategies": ["retry"]}, S.ABORT),
        ({"edge": True}, S.ABORT),
        ({"automatic": False}, S.ABORT),
        ({"automatic": True}, S.ESCALATE),
    ],
    ids=str,
)
def test_what_is_declared_against_failures_goes_before_the_question(declared: Any, expected: S) -> None:
    step = decide(policy(idempotent=False, **declared))
    assert step.strategy is expected

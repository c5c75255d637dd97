"""The recovery ladder: what is done about a failed block, given what it declares and what was tried."""

from typing import Any

import pytest
from pydantic import ValidationError

from workflow_service.engine.definition import Block, Definition, GlobalSettings, RetryPolicy
from workflow_service.engine.recovery import (
    CLASS_OF,
    DEFAULT_LADDERS,
    Failure,
    PastAction,
    RecoveryHistory,
    RecoveryPolicy,
    RecoveryStep,
    allowed_strategies,
    classify,
    decide_recovery,
    history_of,
    policy_of,
)
from workflow_service.engine.recovery_advice import Experience, SuccessRate, advise, fingerprint
from workflow_service.engine.states import STRATEGY_NAMES, ErrorClass, ErrorType
from workflow_service.engine.states import RecoveryStrategy as S
from workflow_service.engine.validation import validate

FULL: dict[str, Any] = {
    "agents": ["first", "second"],
    "fallback": {"toolType": "NOOP"},
    "escalate": {},
}
TRANSIENT = Failure(ErrorType.NETWORK_ERROR, "gone", retryable=True)
INVALID = Failure(ErrorType.VALIDATION_ERROR, "no such row", retryable=False)
DENIED = Failure(ErrorType.AUTHORIZATION_ERROR, "not you", retryable=False)
NO_AGENT = Failure(ErrorType.AGENT_UNAVAILABLE, "busy", retryable=True)


def policy(recovery: dict[str, Any] | None = None, *, settings: Any = None, **fields: Any) -> RecoveryPolicy:
    """Return the policy of a block with this ``recovery`` object, at most one retry."""
    options = {
        name: fields.pop(name)
        for name in ("has_error_edge", "undoes", "has_parent", "automatic")
        if name in fields
    }
    block = Block.model_validate(
        {"blockId": "b", "toolType": "NOOP", "recovery": recovery, "retryPolicy": {"maxRetries": 1}} | fields
    )
    return policy_of(block, GlobalSettings.model_validate(settings or {}), max_retries=3, **options)


def walk(policy: RecoveryPolicy, failure: Failure, agent_id: str = "own") -> list[str]:
    """Return the steps for a block that never succeeds, up to the one that ends it."""
    past: list[PastAction] = []
    for _ in range(100):
        step = decide_recovery(policy, failure, history_of(past, agent_id), jitter=0.5)
        past.append(PastAction(step.strategy, step.agent_id))
        agent_id = step.agent_id or agent_id
        if step.strategy in (S.SKIP, S.ESCALATE, S.COMPENSATE, S.ABORT):
            return [str(action.strategy) for action in past]
    raise AssertionError(f"the ladder has no end: {past}")


@pytest.mark.parametrize(
    ("failure", "recovery", "fields", "expected"),
    [
        pytest.param(TRANSIENT, None, {}, "retry abort", id="nothing declared: retries, then failed"),
        pytest.param(
            INVALID, None, {}, "escalate", id="what will not pass is not retried: a person is asked"
        ),
        pytest.param(DENIED, None, {}, "abort", id="about what does not fit, and about nothing else"),
        pytest.param(
            INVALID, None, {"has_error_edge": True}, "abort", id="not where an error edge handles it"
        ),
        pytest.param(INVALID, None, {"automatic": False}, "abort", id="not where the run does without"),
        pytest.param(INVALID, None, {"settings": {"onFailure": "continue"}}, "abort", id="nor goes on"),
        pytest.param(INVALID, None, {"forEach": "[1]"}, "abort", id="nor about items, which may be many"),
        pytest.param(
            INVALID, None, {"toolType": "SUBWORKFLOW"}, "abort", id="nor about a whole sub-workflow"
        ),
        pytest.param(INVALID, None, {"has_parent": True}, "abort", id="nor in one: who called it decides"),
        pytest.param(INVALID, None, {"undoes": True}, "abort", id="nor where what was done is to be undone"),
        pytest.param(INVALID, {"strategies": ["retry"]}, {}, "abort", id="nor against what is declared"),
        pytest.param(NO_AGENT, None, {}, "retry queue queue queue queue queue abort", id="waits for agents"),
        pytest.param(NO_AGENT, {"maxQueued": 1}, {}, "retry queue abort", id="as often as declared"),
        pytest.param(
            TRANSIENT,
            FULL,
            {},
            "retry reassign retry reassign retry fallback retry escalate",
            id="every agent, and the fallback, has retries of its own",
        ),
        pytest.param(INVALID, FULL, {}, "fallback escalate", id="another agent would find it invalid too"),
        pytest.param(INVALID, None, {"optional": True}, "skip", id="an optional block is done without"),
        pytest.param(TRANSIENT, None, {"optional": True}, "retry skip", id="but tried first"),
        pytest.param(INVALID, {"escalate": {}}, {}, "escalate", id="a person is asked where declared"),
        pytest.param(
            INVALID,
            {"strategies": ["SKIP_BLOCK"]},
            {},
            "skip",
            id="whoever lists skip need not say optional",
        ),
        pytest.param(
            TRANSIENT, {"strategies": ["HUMAN_INTERVENTION"]}, {}, "escalate", id="listed alone, it is alone"
        ),
        pytest.param(
            TRANSIENT, {"strategies": ["retry", "abort", "escalate"]}, {}, "retry abort", id="abort ends it"
        ),
        pytest.param(
            INVALID, {"strategies": ["queue"]}, {}, "abort", id="queueing is for what agents may mend"
        ),
        pytest.param(INVALID, {"strategies": ["fallback"]}, {}, "abort", id="no fallback is declared"),
        pytest.param(INVALID, {"strategies": ["compensate"]}, {}, "abort", id="there is nothing to undo"),
        pytest.param(
            INVALID, {"strategies": ["compensate"]}, {"undoes": True}, "compensate", id="there is something"
        ),
        pytest.param(
            INVALID,
            {"strategies": ["compensate"]},
            {"undoes": True, "has_error_edge": True},
            "abort",
            id="an error edge handles the failure: nothing is undone",
        ),
        pytest.param(INVALID, None, {"automatic": True}, "escalate", id="a run may ask about every block"),
        pytest.param(
            INVALID, None, {"automatic": True, "has_error_edge": True}, "abort", id="that has no error edge"
        ),
        pytest.param(TRANSIENT, FULL, {"automatic": False}, "retry abort", id="a run may do without"),
    ],
)
def test_the_ladder(failure: Failure, recovery: Any, fields: dict[str, Any], expected: str) -> None:
    assert walk(policy(recovery, **fields), failure) == expected.split()


def test_what_a_block_says_stands_over_the_workflow_defaults() -> None:
    settings = {"defaultRecovery": {"escalate": {"assignees": ["ops"]}, "maxQueued": 1}}
    found = policy({"maxQueued": 2}, settings=settings)
    assert found.max_queued == 2
    assert found.escalation is not None
    assert found.escalation.assignees == ("ops",)
    assert walk(policy(None, settings=settings), INVALID) == ["escalate"]


def test_an_unavailable_agent_is_replaced_at_once() -> None:
    step = decide_recovery(policy({"agents": ["other"]}), NO_AGENT, RecoveryHistory(), jitter=0.0)
    assert step == RecoveryStep(
        S.REASSIGN, "AGENT_UNAVAILABLE: agent 'other' has not tried it", agent_id="other"
    )


def test_delays_are_the_retry_policy_s_and_the_queue_s_longer_ones() -> None:
    given = policy({"queueDelay": 40_000})
    first = decide_recovery(given, NO_AGENT, RecoveryHistory(), jitter=0.0)
    later = decide_recovery(given, NO_AGENT, RecoveryHistory(retries=1), jitter=0.0)
    assert (first.strategy, first.delay_s) == (S.RETRY, 0.5)
    assert (later.strategy, later.delay_s) == (S.QUEUE, 20.0)


def test_the_reason_of_the_end_says_why_nothing_was_left() -> None:
    step = decide_recovery(policy(), TRANSIENT, RecoveryHistory(retries=1), jitter=0.0)
    assert step.reason == "all 1 retries are used up"


def test_a_person_s_answer_lets_the_work_fail_afresh() -> None:
    past = [PastAction(S.RETRY), PastAction(S.FALLBACK, "b"), PastAction(S.RETRY), PastAction(S.ESCALATE)]
    assert history_of(past, "b") == RecoveryHistory(0, 0, frozenset({"b"}), fell_back=True)


def test_every_error_type_has_a_class_and_every_class_a_ladder() -> None:
    final = {kind for kind in ErrorType if classify(kind) is ErrorClass.FINAL}
    assert final == {
        ErrorType.APPROVAL_REJECTED,
        ErrorType.APPROVAL_TIMEOUT,
        ErrorType.SETTLEMENT_ERROR,
        ErrorType.NO_PATH_TO_END,
        ErrorType.LOOP_LIMIT_REACHED,
        ErrorType.MAP_FAILED,
        ErrorType.CHILD_CANCELLED,
    }, f"give new error types a class or list them here: {final}"
    assert set(DEFAULT_LADDERS) == set(ErrorClass)
    assert set(CLASS_OF.values()) | {ErrorClass.FINAL} == set(ErrorClass)


def test_a_final_error_is_not_recovered_whatever_is_declared() -> None:
    failure = Failure(ErrorType.SETTLEMENT_ERROR, "poison", retryable=True)
    assert walk(policy(FULL | {"strategies": ["retry", "skip"]}), failure) == ["abort"]


# Advice


def rates(**found: tuple[int, int]) -> dict[S, SuccessRate]:
    return {S(name): SuccessRate(*counts) for name, counts in found.items()}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param({}, "retry reassign fallback skip escalate abort", id="nothing known"),
        pytest.param(
            {"retry": (0, 2), "fallback": (2, 0)},
            "retry reassign fallback skip escalate abort",
            id="a few observations change nothing",
        ),
        pytest.param(
            {"retry": (1, 60), "fallback": (40, 2)},
            "fallback reassign retry skip escalate abort",
            id="many do",
        ),
        pytest.param(
            {"skip": (99, 0), "escalate": (99, 0), "retry": (0, 30)},
            "reassign fallback retry skip escalate abort",
            id="what gives up never comes before work",
        ),
        pytest.param(
            {"queue": (99, 0)}, "retry reassign fallback skip escalate abort", id="nothing is added"
        ),
    ],
)
def test_what_worked_before_orders_what_is_allowed(found: dict[str, Any], expected: str) -> None:
    allowed = allowed_strategies(policy(FULL), ErrorClass.TRANSIENT)
    assert [
        str(advice.strategy) for advice in advise(allowed, Experience(rates(**found)))
    ] == expected.split()


def test_a_step_that_came_forward_says_why() -> None:
    found = Experience(rates(retry=(1, 60), fallback=(40, 2)))
    step = decide_recovery(policy(FULL), TRANSIENT, RecoveryHistory(), jitter=0.0, experience=found)
    assert step.strategy is S.FALLBACK
    assert step.reason.endswith("worked in 40 of 42 cases")


# Names, fingerprints, definitions


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("RETRY_SAME_AGENT", S.RETRY),
        ("REASSIGN_AGENT", S.REASSIGN),
        ("HUMAN_INTERVENTION", S.ESCALATE),
        ("SKIP_BLOCK", S.SKIP),
        ("ABORT_WORKFLOW", S.ABORT),
        ("retry", S.RETRY),
        ("skip", S.SKIP),
        ("fallback", S.FALLBACK),
        ("compensate", S.COMPENSATE),
        ("abort", S.ABORT),
        ("escalate", S.ESCALATE),
    ],
)
def test_both_documents_names_are_understood(name: str, strategy: S) -> None:
    assert STRATEGY_NAMES[name] is strategy
    assert policy({"strategies": [name]}).strategies == (strategy,)


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(ValidationError, match="strategies"):
        policy({"strategies": ["pray"]})


@pytest.mark.parametrize("tool", ["HUMAN", "MAP", "SUBWORKFLOW", "WAIT"])
def test_a_fallback_needs_nobody_and_waits_for_nothing(tool: str) -> None:
    with pytest.raises(ValidationError, match="cannot stand in"):
        policy({"fallback": {"toolType": tool}})


def test_errors_that_differ_in_numbers_and_names_are_alike() -> None:
    one = fingerprint(ErrorType.NETWORK_ERROR, "no answer from 10.0.0.1:80 for 'orders' in 3 s")
    two = fingerprint(ErrorType.NETWORK_ERROR, "no answer from 10.0.0.7:8080 for 'carts' in 12 s")
    assert one == two
    assert one != fingerprint(ErrorType.TIMEOUT_ERROR, "no answer from 10.0.0.1:80 for 'orders' in 3 s")
    assert one != fingerprint(ErrorType.NETWORK_ERROR, "connection refused")


def test_the_fallback_of_a_definition_is_compiled_with_it() -> None:
    broken = {
        "blocks": [
            {
                "blockId": "a",
                "toolType": "NOOP",
                "recovery": {
                    "fallback": {"toolType": "NOOP", "configuration": {"output": "${blocks.zzz.output}"}},
                    "compensate": {"toolType": "NOOP", "configuration": {"output": "${1 +}"}},
                },
            }
        ]
    }
    found = {finding.pointer: finding.code for finding in validate(Definition.model_validate(broken))}
    assert found["/blocks/0/recovery/fallback/configuration"] == "UNKNOWN_BLOCK"
    assert found["/blocks/0/recovery/compensate/configuration/output"] == "BAD_REFERENCE"


def test_the_default_retry_policy_is_the_service_s() -> None:
    block = Block.model_validate({"blockId": "b", "toolType": "NOOP"})
    assert policy_of(block, GlobalSettings(), max_retries=7).retry == RetryPolicy(max_retries=7)

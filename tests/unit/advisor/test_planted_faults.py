"""Eight kinds of fault planted in recorded workflows are found, each alone; healthy workflows are left in peace."""

from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from tests.recorded_runs import Did, Work, case_of
from workflow_service.advisor.detectors import detect
from workflow_service.advisor.ideas import Case, ModelPrice, Weighed
from workflow_service.advisor.recordings import Try
from workflow_service.advisor.vocabulary import Kind, Measure
from workflow_service.advisor.weighing import weigh
from workflow_service.engine.recommendations import Effect
from workflow_service.engine.states import ToolType

# For what is asked here, ten tokens in for one out, 40 and 4.
MODELS = (ModelPrice("large", 1.0, 30.0), ModelPrice("small", 0.3, 1.0))
ASKED = {"toolType": ToolType.LLM, "configuration": {"prompt": "Which?", "input": "${a_made}"}}
WORK = {"toolType": ToolType.USE_CASE}


def use_case(name: str, *after: str, reads: str = "", **fields: Any) -> dict[str, Any]:
    configuration = {"useCase": "x.y", **({"given": f"${{{reads}}}"} if reads else {})}
    return {"blockId": name, **WORK, "configuration": configuration, "dependencies": list(after), **fields}


# a, then b and c that need only a, then d.
ROW = [
    use_case("a"),
    use_case("b", "a", reads="a_made"),
    use_case("c", "b", reads="a_made"),
    use_case("d", "c", reads="b_made + c_made"),
]
CHAIN = [use_case("a"), use_case("b", "a", reads="a_made"), use_case("c", "b", reads="b_made")]


def steady(**seconds: float) -> Work:
    """Return work that takes about so many seconds, and gives something else each time."""

    def work(name: str, run: int) -> Did:
        noise = Random(f"{name}{run}").uniform(0.9, 1.1)
        return Did(seconds.get(name, 1.0) * noise, more={"given": f"{run}", "made": f"{run}"})

    return work


def failing(name: str, error: str, every: int, seconds: float = 1.0) -> Work:
    """Return steady work of which one block fails in every so many runs."""

    def work(block: str, run: int) -> Did:
        if block == name and run % every == 0:
            return Did(seconds, error=error)
        return steady()(block, run)

    return work


def parallel_work() -> Case:
    return case_of(ROW, steady(a=1, b=4, c=4, d=1))


def unretried() -> Case:
    blocks = [CHAIN[0], {**CHAIN[1], "retryPolicy": {"maxRetries": 0}}, CHAIN[2]]
    return case_of(blocks, failing("b", "NETWORK_ERROR", 5))


def impatient() -> Case:
    """Work of about 2 s that is broken off after 3."""

    def work(name: str, run: int) -> Did:
        if name != "b":
            return steady()(name, run)
        seconds = Random(run).lognormvariate(0.7, 0.4)
        return Did(3.0, error="TIMEOUT_ERROR") if seconds > 3 else Did(seconds, more={"given": str(run)})

    blocks = [CHAIN[0], {**CHAIN[1], "timeout": 3_000, "retryPolicy": {"maxRetries": 0}}, CHAIN[2]]
    return case_of(blocks, work, runs=80)


def hanging() -> Case:
    """Work of a second that hangs now and then until its timeout, and is tried again."""

    def work(name: str, run: int) -> Did:
        did = steady()(name, run)
        hung = (Try(60.0, "TIMEOUT_ERROR", 1.0),) if name == "b" and run % 8 == 0 else ()
        return Did(did.seconds, tries=hung, more=did.more)

    return case_of([CHAIN[0], {**CHAIN[1], "timeout": 60_000}, CHAIN[2]], work)


def repeating() -> Case:
    def work(name: str, run: int) -> Did:
        did = steady(b=5)(name, run)
        again = {"given": f"city {run % 4}", "made": f"weather {run % 4}"}
        return Did(did.seconds, more=again if name == "b" else did.more)

    return case_of(CHAIN, work)


def dear() -> Case:
    def work(name: str, run: int) -> Did:
        did = steady()(name, run)
        said = {
            "model": "large",
            "cost_usd": 0.05,
            "tokens": (10, 1),
            "made": ("yes", "no")[run % 2],
            "made_characters": 5,
        }
        return Did(did.seconds, more={"given": str(run), **(said if name == "b" else {})})

    return case_of([CHAIN[0], {"blockId": "b", "dependencies": ["a"], **ASKED}], work, models=MODELS)


def late_check() -> Case:
    """Ten seconds of work, then a check that needs nothing of it and ends every third run."""

    def work(name: str, run: int) -> Did:
        did = steady(render=10, check=0.5)(name, run)
        to = frozenset({"end" if run % 3 == 0 else "publish"}) if name == "check" else None
        return Did(did.seconds, to=to, more=did.more)

    chooses = {
        "branches": [
            {"condition": "a_made == 'bad'", "nextBlocks": ["end"]},
            {"condition": "else", "nextBlocks": ["publish"]},
        ]
    }
    blocks = [
        use_case("a"),
        use_case("render", "a", reads="a_made"),
        use_case("check", "render", reads="a_made", conditions=chooses),
        use_case("publish", reads="render_made"),
    ]
    return case_of(blocks, work, endDependencies=["publish"])


def unreachable() -> Case:
    branches = [
        {"condition": "a_made > 10", "nextBlocks": ["b"]},
        {"condition": "a_made > 100", "nextBlocks": ["c"]},
        {"condition": "else", "nextBlocks": ["d"]},
    ]
    blocks = [
        use_case("a", conditions={"branches": branches}),
        use_case("b", reads="a_made"),
        use_case("c", reads="a_made"),
        use_case("d", reads="a_made"),
    ]

    def work(name: str, run: int) -> Did:
        did = steady()(name, run)
        return Did(
            did.seconds, to=frozenset({"b" if run % 2 else "d"}) if name == "a" else None, more=did.more
        )

    return case_of(blocks, work)


def one_by_one() -> Case:
    """Work on a list, half a second for each of its items, that nobody reads."""

    def work(name: str, run: int) -> Did:
        did, items = steady(a=0.5)(name, run), 5 + run % 20
        if name != "b":
            return did
        return Did(0.5 * items + 0.1, more={**did.more, "lists": {"given": items}})

    return case_of(CHAIN[:2], work)


PLANTED = {
    Kind.PARALLELISE: (parallel_work, Measure.DURATION, ("b", "c"), 0.40),
    Kind.RETRY: (unretried, Measure.FAILURES, ("b",), 0.98),
    Kind.TIMEOUT: (impatient, Measure.FAILURES, ("b",), 0.98),
    Kind.CACHE: (repeating, Measure.DURATION, ("b",), 0.64),
    Kind.CHEAPER_MODEL: (dear, Measure.COST, ("b",), 0.90),
    Kind.REORDER: (late_check, Measure.DURATION, ("render", "check"), 0.27),
    Kind.DEAD_BRANCH: (unreachable, Measure.SIZE, ("a", "c"), 0.28),
    Kind.SPLIT: (one_by_one, Measure.DURATION, ("b",), 0.8),
}


def suggested(case: Case) -> list[Weighed]:
    return list(weigh(case, detect(case))[1])


@pytest.mark.parametrize("kind", PLANTED, ids=[kind.value for kind in PLANTED])
def test_each_planted_fault_is_found_and_nothing_else(kind: Kind) -> None:
    plant, measure, blocks, share = PLANTED[kind]
    [weighed] = suggested(plant())
    idea = weighed.idea
    assert (idea.kind, idea.measure, idea.blocks) == (kind, measure, blocks)
    assert weighed.share == pytest.approx(share, abs=0.08)
    assert idea.evidence
    assert idea.proposed_changes


@pytest.mark.parametrize(
    ("kind", "effect", "condition"),
    [
        (Kind.RETRY, Effect.UNKNOWN, "Only if 'b' may be done twice"),
        (Kind.REORDER, Effect.UNKNOWN, "Only if 'render' need not be done in the runs that 'check' ends"),
        (Kind.SPLIT, Effect.UNKNOWN, "Only if 'b' may do its items in any order"),
        (Kind.RETRY, Effect.NONE, ""),
    ],
    ids=["retry", "reorder", "split", "known"],
)
def test_of_effects_that_are_not_known_the_advice_says_the_condition(
    kind: Kind, effect: Effect, condition: str
) -> None:
    case = PLANTED[kind][0]()
    case = replace(case, effects=dict.fromkeys(case.effects, effect))
    [idea] = [each.idea for each in suggested(case) if each.idea.kind is kind]
    assert idea.condition.startswith(condition)
    assert bool(idea.condition) == bool(condition)


def test_work_that_hangs_gets_a_shorter_timeout() -> None:
    [weighed] = suggested(hanging())
    assert weighed.idea.kind is Kind.TIMEOUT
    assert weighed.idea.measure is Measure.DURATION
    assert weighed.definition.block("b").timeout == 4_000
    # 7.5 s of 10.6 s are spent hanging; with 4 s instead of 60 s half a second is.
    assert weighed.share == pytest.approx(0.66, abs=0.05)


@dataclass(frozen=True)
class Healthy:
    """A workflow with nothing wrong, that looks as if there were."""

    blocks: list[dict[str, Any]]
    work: Work
    effects: dict[str, Effect]


def rare_but_possible(name: str, run: int) -> Did:
    did = steady()(name, run)
    return Did(did.seconds, to=frozenset({"b"}) if name == "a" else None, more=did.more)


def answers_change(name: str, run: int) -> Did:
    return Did(5.0, more={"given": "the same", "made": f"at {run}"})


ALARM = {
    "branches": [
        {"condition": "a_made > 100", "nextBlocks": ["c"]},
        {"condition": "a_made > 10", "nextBlocks": ["b"]},
        {"condition": "else", "nextBlocks": ["b"]},
    ]
}
HEALTHY = {
    # Each needs what the one before it gives.
    "a chain of needs": Healthy(CHAIN, steady(b=8, c=8), {}),
    # An alarm that never went off, and a block whose same question gets another answer each time.
    "a rare branch": Healthy(
        [use_case("a", conditions=ALARM), use_case("b", reads="a_made"), use_case("c", reads="a_made")],
        rare_but_possible,
        {},
    ),
    "answers that change": Healthy(CHAIN, answers_change, {}),
    # Work that is done for its effects: not moved, not tried again, not remembered.
    "effects outside": Healthy(
        [ROW[0], {**ROW[1], "retryPolicy": {"maxRetries": 0}}, ROW[2], ROW[3]],
        lambda name, run: (
            Did(1.0, error="NETWORK_ERROR")
            if name == "b" and run % 10 == 0
            else Did(1.0, more={"given": "1", "made": "1"})
        ),
        dict.fromkeys("abcd", Effect.SOME),
    ),
    # Failures that no retry mends, and timeouts with room.
    "faults of the data": Healthy(
        [CHAIN[0], {**CHAIN[1], "retryPolicy": {"maxRetries": 0}, "timeout": 10_000}, CHAIN[2]],
        failing("b", "VALIDATION_ERROR", 6),
        {},
    ),
    # Side by side already, retried already, and too little to be worth a change.
    "done well": Healthy(
        [
            use_case("a"),
            use_case("b", "a", reads="a_made"),
            use_case("c", "a", reads="a_made"),
            use_case("d", "b", "c", reads="b_made"),
            use_case("e", "d", reads="d_made"),
            use_case("f", "e", reads="d_made"),
        ],
        steady(a=2, b=8, c=8, d=2, e=0.1, f=0.1),
        {},
    ),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_workflows_are_left_in_peace(name: str) -> None:
    healthy = HEALTHY[name]
    case = case_of(healthy.blocks, healthy.work, runs=100, effects=healthy.effects)
    assert [weighed.idea.title for weighed in suggested(case)] == []

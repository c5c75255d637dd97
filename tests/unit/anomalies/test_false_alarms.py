"""Of healthy runs no more are flagged than the budget says, however their times are distributed; simulated."""

import random
from collections.abc import Callable

import pytest

from workflow_service.anomalies.detection import BUDGET, Finding, Kind, judge
from workflow_service.anomalies.facts import THE_RUN, BlockFacts, RunFacts
from workflow_service.anomalies.history import WINDOW, Histories, learn

RUNS = 1_200
BLOCKS = [f"b{number}" for number in range(5)]
Draw = Callable[[random.Random], float]

# Milliseconds of a block, around some seconds: there every difference is large enough to be told of.
DISTRIBUTIONS: dict[str, Draw] = {
    "lognormal": lambda chance: 4_000 * chance.lognormvariate(0, 0.5),
    "normal": lambda chance: chance.gauss(8_000, 1_500),
    "exponential": lambda chance: chance.expovariate(1 / 6_000),
    "gamma": lambda chance: chance.gammavariate(2, 3_000),
    "heavy tail": lambda chance: 2_000 * chance.paretovariate(1.5),
    "two modes": lambda chance: chance.gauss(9_000, 500) if chance.random() < 0.03 else chance.gauss(900, 60),
    "constant": lambda chance: 5_000,
}


def healthy_run(chance: random.Random, draw: Draw, failure_rate: float = 0.05) -> RunFacts:
    """Return a run whose blocks fail now and then, and which takes one of a few paths."""
    failed = chance.random() < failure_rate
    blocks = {}
    for block_id in BLOCKS:
        took = max(0, round(draw(chance)))
        blocks[block_id] = BlockFacts(0, took, took, max(0, round(draw(chance))))
    if failed:
        blocks[chance.choice(BLOCKS)] = BlockFacts(0, 10, None, None, failed=True)
    path = None if failed else chance.choices("abcdef", [50, 30, 12, 6, 1.5, 0.5])[0]
    took = sum(block.duration_ms or 0 for block in blocks.values())
    return RunFacts(blocks, None if failed else took, path, (), failed)


def flagged(chance: random.Random, draw: Draw, runs: int = RUNS) -> list[list[Finding]]:
    """Return what was found in each of many healthy runs, judged one after the other as they come."""
    histories: Histories = {}
    found = []
    for _ in range(runs):
        run = healthy_run(chance, draw)
        found.append(judge(run, histories))
        learn(histories, run)
    return found


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_of_healthy_runs_no_more_are_flagged_than_the_budget_allows(name: str) -> None:
    # What happens in 3 % of the runs is unusual when it is first seen; it is known once the window is full.
    found = flagged(random.Random(4711), DISTRIBUTIONS[name])[WINDOW:]
    share = sum(map(bool, found)) / len(found)
    # Three standard errors of the share that is counted.
    assert share <= BUDGET + 3 * (BUDGET * (1 - BUDGET) / len(found)) ** 0.5, [one for one in found if one]


def histories_of(chance: random.Random, draw: Draw, runs: int = 300) -> Histories:
    histories: Histories = {}
    for _ in range(runs):
        learn(histories, healthy_run(chance, draw))
    return histories


@pytest.mark.parametrize("name", ["normal", "two modes", "constant"])
def test_a_block_that_takes_many_times_as_long_is_found(name: str) -> None:
    chance = random.Random(1)
    draw = DISTRIBUTIONS[name]
    histories = histories_of(chance, draw)
    run = healthy_run(chance, draw, failure_rate=0)
    slow = {**run.blocks, "b2": BlockFacts(0, 90_000, 90_000, 4_000)}
    (finding,) = judge(RunFacts(slow, run.duration_ms, run.path, (), False), histories)
    assert (finding.kind, finding.block_id, finding.value) == (Kind.DURATION, "b2", 90_000)
    assert finding.low < finding.high < 90_000
    assert finding.score > 3


def test_an_output_far_too_small_is_found() -> None:
    chance = random.Random(2)
    histories = histories_of(chance, DISTRIBUTIONS["lognormal"])
    run = healthy_run(chance, DISTRIBUTIONS["lognormal"], failure_rate=0)
    empty = {**run.blocks, "b4": BlockFacts(0, 4_000, 4_000, 2)}
    (finding,) = judge(RunFacts(empty, run.duration_ms, run.path, (), False), histories)
    assert (finding.kind, finding.block_id, finding.value) == (Kind.OUTPUT_SIZE, "b4", 2)


def test_failures_that_come_in_a_row_are_told_of_once_and_again_after_a_calm() -> None:
    chance = random.Random(3)
    histories = histories_of(chance, DISTRIBUTIONS["constant"])

    def fails(number: int) -> list[Finding]:
        told = []
        for _ in range(number):
            run = RunFacts({"b0": BlockFacts(0, 10, failed=True)}, failed=True)
            told += judge(run, histories)
            learn(histories, run)
        return told

    first = fails(12)
    assert {(one.kind, one.block_id) for one in first} == {
        (Kind.ERROR_RATE, THE_RUN),
        (Kind.ERROR_RATE, "b0"),
    }
    assert len(first) == 2
    for _ in range(100):
        learn(histories, healthy_run(chance, DISTRIBUTIONS["constant"], failure_rate=0))
    assert not histories["b0"].alarmed
    assert any(one.block_id == "b0" for one in fails(12))


def test_a_path_never_taken_is_found_once_there_is_history_enough_to_say_so() -> None:
    chance = random.Random(4)
    short = histories_of(chance, DISTRIBUTIONS["constant"], 150)
    long = histories_of(chance, DISTRIBUTIONS["constant"], 600)
    new = RunFacts(path="never", failed=False)
    assert judge(new, short) == []
    (finding,) = judge(new, long)
    assert (finding.kind, finding.value) == (Kind.PATH, 0)


def test_a_change_that_lasts_becomes_usual() -> None:
    chance = random.Random(5)
    histories = histories_of(chance, DISTRIBUTIONS["constant"])
    found = []
    for _ in range(150):
        run = RunFacts({"b0": BlockFacts(0, 60_000, 60_000)}, failed=False)
        found.append(judge(run, histories))
        learn(histories, run)
    assert found[0]
    # What is usual is worked out again with every twentieth of it.
    assert not any(found[12:])


def test_what_differs_by_milliseconds_is_nobodys_business() -> None:
    histories = histories_of(random.Random(6), lambda chance: chance.gauss(20, 1))
    run = RunFacts({"b0": BlockFacts(0, 300, 300, 200)}, failed=False)
    assert judge(run, histories) == []

"""Replays: what was recorded comes out again, and what changes is what the change does."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.recorded_runs import Did, case_of, plan_of
from workflow_service.advisor.recordings import RecordedBlock, RecordedRun, Recordings, Try
from workflow_service.advisor.replay import fidelity, improvement, replay, replay_run
from workflow_service.advisor.vocabulary import Measure
from workflow_service.engine.states import BlockStatus

CHAIN: list[dict[str, Any]] = [
    {"blockId": "a"},
    {"blockId": "b", "dependencies": ["a"]},
    {"blockId": "c", "dependencies": ["b"]},
]
FORK: list[dict[str, Any]] = [
    {"blockId": "a"},
    {"blockId": "b", "dependencies": ["a"]},
    {"blockId": "c", "dependencies": ["a"]},
    {"blockId": "d", "dependencies": ["b", "c"]},
]
CHOICE: list[dict[str, Any]] = [
    {
        "blockId": "a",
        "conditions": {
            "branches": [
                {"condition": "x > 1", "nextBlocks": ["b"]},
                {"condition": "else", "nextBlocks": ["c"]},
            ]
        },
    },
    {"blockId": "b"},
    {"blockId": "c"},
    {"blockId": "d", "dependencies": ["b", "c"], "join": "any"},
]


def block(name: str, seconds: float, *to: str, **more: Any) -> RecordedBlock:
    return RecordedBlock(name, BlockStatus.COMPLETED, (Try(seconds),), frozenset(to), **more)


@pytest.mark.parametrize("blocks", [CHAIN, FORK, CHOICE], ids=["chain", "fork", "choice"])
def test_a_run_on_its_own_definition_takes_as_long_as_it_took(blocks: list[dict[str, Any]]) -> None:
    random = Random(7)

    def work(name: str, run: int) -> Did:
        way = frozenset({"b" if run % 3 else "c"}) if blocks is CHOICE and name == "a" else None
        return Did(random.lognormvariate(0, 1), to=way)

    case = case_of(blocks, work)
    assert fidelity(case.plan, case.recordings) < 0.001
    now = replay(case.plan, case.recordings)
    assert now.duration == pytest.approx(sum(run.seconds for run in case.recordings.runs) / 40)
    assert now.failures == 0


def test_blocks_that_need_not_wait_for_each_other_take_as_long_as_the_slowest() -> None:
    case = case_of(CHAIN, lambda name, run: Did({"a": 1.0, "b": 4.0, "c": 3.0}[name]))
    side_by_side = plan_of([CHAIN[0], CHAIN[1], {"blockId": "c", "dependencies": ["a"]}])
    before, after = replay(case.plan, case.recordings), replay(side_by_side, case.recordings)
    assert (before.duration, after.duration) == (8.0, 5.0)
    assert improvement(Measure.DURATION, before, after) == pytest.approx(3 / 8)


def test_no_more_blocks_work_side_by_side_than_the_definition_allows() -> None:
    wide = [{"blockId": name} for name in ("a", "b", "c", "d")]
    run = RecordedRun(1, 0.0, 2.0, False, tuple(block(name, 1.0) for name in ("a", "b", "c", "d")))
    for allowed, seconds in ((1, 4.0), (2, 2.0), (3, 2.0), (4, 1.0)):
        plan = plan_of(wide, globalSettings={"maxParallelBlocks": allowed})
        assert replay_run(plan, run, {}).seconds == seconds


def test_no_more_blocks_work_side_by_side_than_there_are_workers() -> None:
    run = RecordedRun(1, 0.0, 2.0, False, (block("a", 1.0), block("b", 1.0)))
    plan = plan_of([{"blockId": "a"}, {"blockId": "b"}])
    assert [replay_run(plan, run, {}, workers).seconds for workers in (0, 1, 2)] == [1.0, 2.0, 1.0]


def test_what_waits_holds_no_slot() -> None:
    run = RecordedRun(1, 0.0, 5.0, False, (block("a", 5.0, waits=True), block("b", 1.0)))
    plan = plan_of([{"blockId": "a"}, {"blockId": "b"}], globalSettings={"maxParallelBlocks": 1})
    assert replay_run(plan, run, {}).seconds == 5.0


def test_items_of_a_map_share_the_slots() -> None:
    items = tuple([1.0] * 6)
    run = RecordedRun(1, 0.0, 2.0, False, (block("a", 2.0, items=items),))
    for concurrency, seconds in ((None, 1.5), (2, 3.0), (1, 6.0)):
        fields = {} if concurrency is None else {"maxConcurrency": concurrency}
        plan = plan_of([{"blockId": "a", "forEach": "xs", **fields}], globalSettings={"maxParallelBlocks": 4})
        assert replay_run(plan, run, {}).seconds == pytest.approx(2.0 if concurrency is None else seconds)


def test_a_loop_takes_one_recording_a_round() -> None:
    again = {
        "branches": [{"condition": "n < 3", "nextBlocks": ["a"]}, {"condition": "else", "nextBlocks": ["c"]}]
    }
    plan = plan_of(
        [
            {"blockId": "a", "dependencies": ["start"]},
            {"blockId": "b", "dependencies": ["a"], "conditions": again},
            {"blockId": "c"},
        ]
    )
    rounds = [block("a", 1.0, "b"), block("b", 1.0, "a"), block("a", 2.0, "b"), block("b", 2.0, "c")]
    run = RecordedRun(1, 0.0, 7.0, False, (*rounds, block("c", 1.0)))
    assert replay_run(plan, run, {}).seconds == 7.0


def test_a_gate_goes_where_it_went_and_reads_nothing() -> None:
    gate = {
        "sources": ["a", "b"],
        "set": {"sum": "x + y"},
        "branches": [
            {"condition": "sum > 3", "nextBlocks": ["c"]},
            {"condition": "else", "nextBlocks": ["d"]},
        ],
    }
    plan = plan_of([{"blockId": name} for name in "abcd"], gates=[gate])
    ways = (block("[a,b]", 0.0, "d"), block("a", 1.0, "[a,b]"), block("b", 2.0, "[a,b]"), block("d", 4.0))
    assert replay_run(plan, RecordedRun(1, 0.0, 6.0, False, ways), {}).seconds == 6.0


def test_a_failure_ends_the_run_and_what_it_cost_counts() -> None:
    case = case_of(
        CHAIN, lambda name, run: Did(1.0, error="NETWORK_ERROR" if name == "b" and run % 4 == 0 else "")
    )
    now = replay(case.plan, case.recordings)
    assert now.failures == 0.25
    assert now.duration == pytest.approx(0.25 * 2 + 0.75 * 3)


def test_work_that_may_be_saved_counts_by_its_chance_and_goes_on_as_it_mostly_does() -> None:
    case = case_of(
        CHAIN, lambda name, run: Did(1.0, error="NETWORK_ERROR" if name == "b" and run < 10 else "")
    )
    failed = case.recordings.runs[0]
    hopeful = replace(
        failed, blocks=tuple(replace(each, chance=0.8) if each.failed else each for each in failed.blocks)
    )
    ended = replay_run(case.plan, hopeful, case.recordings.typical)
    assert ended.failed == pytest.approx(0.2)
    assert ended.seconds == pytest.approx(0.8 * 3 + 0.2 * 2)


def test_the_time_before_a_block_begins_passes_in_a_replay_too() -> None:
    blocks = (block("a", 1.0, "b", "c"), block("b", 1.0, "d"), block("c", 1.0, "d"), block("d", 1.0))
    run = RecordedRun(1, 0.0, 3.8, False, blocks, lag_s=0.1, message_s=0.5)
    # By a message come the first block, and the second of those that become ready at once.
    assert replay_run(plan_of(FORK), run, {}).seconds == pytest.approx(0.5 + 1 + 0.5 + 1 + 0.1 + 1)
    chain = RecordedRun(1, 0.0, 3.7, False, blocks[:3], lag_s=0.1, message_s=0.5)
    assert replay_run(plan_of(CHAIN), chain, {}).seconds == pytest.approx(0.5 + 3 + 0.2)


def test_runs_that_nothing_is_recorded_of_take_no_time() -> None:
    now = replay(plan_of(CHAIN), Recordings(()))
    assert (now.duration, now.failures, now.size) == (0.0, 0.0, 5)

"""Advice taken: what a replay estimated beside what was measured afterwards, for workflows of known waits.

Each runs so many times, is analysed, has its suggestion accepted, and runs as often again. The gain is what the
service's own measuring says: of active time on average, or of the share of runs that fail.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from benchmarks import engine
from benchmarks.bench import Bench
from benchmarks.engine import HIGH, NORMAL, Block
from benchmarks.figures import Figure
from benchmarks.outside import DEAR, outside
from executions_app.services.executions import start_execution
from templates_app.models import Template
from workflow_service.advisor.services.analysis import analyse
from workflow_service.advisor.services.measuring import figure_of
from workflow_service.advisor.services.suggestions import accept
from workflow_service.advisor.vocabulary import Kind, Measure

TIMEOUT_S = 120.0
# How far an estimate may lie from what was measured, of what was measured.
OFF_BY_PERCENT = 20.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A workflow with something that could be better, and which of its blocks that is about."""

    kind: Kind
    blocks: list[Block]
    items: bool = False
    priority: str = NORMAL


def work(name: str, *after: str, use_case: str = "benchmark.wait", **params: Any) -> Block:
    """Return a block that waits; further parameters are those of the use case, and fields of the block."""
    fields = {key: params.pop(key) for key in ("retryPolicy", "timeout", "conditions") if key in params}
    return {
        "blockId": name,
        "toolType": "USE_CASE",
        "configuration": {"useCase": use_case, "seconds": 0.0, **params},
        "dependencies": list(after),
        "outputMapping": {f"{name}_done": "output"},
        **fields,
    }


ONCE = {"maxRetries": 0}
PASSED = {
    "branches": [
        {"condition": "output.passed == false", "nextBlocks": ["end"]},
        {"condition": "else", "nextBlocks": ["keep"]},
    ]
}
TWICE = {
    "branches": [
        {"condition": "output.passed == false", "nextBlocks": ["end"]},
        {"condition": "output.passed == false", "nextBlocks": ["never"]},
        {"condition": "else", "nextBlocks": ["keep"]},
    ]
}
QUESTION = "How urgent is this letter? Answer with one word: urgent, or not."
FAULTS = (
    Fault(
        Kind.PARALLELISE,
        [work("load", seconds=0.2), work("left", "load", seconds=1.5), work("right", "left", seconds=1.2)],
    ),
    Fault(
        Kind.RETRY,
        [work("load", seconds=0.05, fails=0.3, retryPolicy=ONCE, timeout=30_000)],
    ),
    Fault(
        Kind.TIMEOUT,
        [work("load", seconds=0.3, hangs="${workflow.input.hangs}", timeout=5_000, retryPolicy=ONCE)],
    ),
    Fault(
        Kind.REORDER,
        [
            work("draw", seconds=0.8),
            work(
                "look",
                "draw",
                use_case="benchmark.check",
                seconds=0.1,
                fails="${workflow.input.bad}",
                conditions=PASSED,
            ),
            work("keep", seconds=0.1),
        ],
    ),
    Fault(
        Kind.SPLIT,
        [
            {
                key: value
                for key, value in work("each", seconds=0.4, of="${workflow.input.items}").items()
                if key != "outputMapping"
            }
        ],
        items=True,
    ),
    Fault(
        Kind.DEAD_BRANCH,
        [
            work("look", use_case="benchmark.check", seconds=0.2, conditions=TWICE),
            work("keep", seconds=0.1),
            work("never", seconds=0.1),
        ],
    ),
)


def asking_outside(service: str) -> tuple[Fault, ...]:
    """Return the faults of work that asks a web service at this address, or a language model."""
    same = {
        "endpoint": f"{service}/${{workflow.input.city}}",
        "method": "GET",
        "responseMapping": {"found": "body.length"},
    }
    letter = {"prompt": QUESTION, "model": DEAR, "input": "${workflow.input.letter}"}
    return (
        Fault(Kind.CACHE, [work("load", seconds=0.2), asked("look", "API", same)], priority=HIGH),
        Fault(Kind.CHEAPER_MODEL, [work("load", seconds=0.2), asked("judge", "LLM", letter)], priority=HIGH),
    )


def asked(name: str, tool_type: str, configuration: dict[str, Any]) -> Block:
    """Return a block that asks somebody, after 'load'."""
    return {
        "blockId": name,
        "toolType": tool_type,
        "configuration": configuration,
        "dependencies": ["load"],
        "outputMapping": {f"{name}_done": "output"},
    }


def measure(bench: Bench) -> Iterator[Figure]:
    """Take each suggestion and measure what it brought."""
    runs = bench.scale(60, 24)
    with outside(bench.stack) as service:
        for fault in chain(FAULTS, asking_outside(service)):
            yield take(bench, fault, runs)


def take(bench: Bench, fault: Fault, runs: int) -> Figure:
    """Take what is suggested of a fault; returns how far the estimate was from what it brought."""
    template = engine.make_template(f"could be better: {fault.kind}", fault.blocks)
    run(template, runs, fault)
    report = analyse(template, with_model=False)
    records = [record for record in report.suggestions if record.kind == fault.kind]
    if not records:
        raise RuntimeError(f"nothing was suggested: {report.notes} {list(report.suggestions)}")
    [record] = records
    taken = accept(record, template.owner)
    template.refresh_from_db()
    run(template, runs, fault)
    of = Measure(record.measure)
    version = taken.accepted_version_id
    if version is None:
        raise RuntimeError("what was accepted has no version")
    before, after = figure_of(record.base_version_id, of, runs).value, figure_of(version, of, runs).value
    gained = 100 * (before - after) / before
    off = abs(record.estimated_improvement - gained) / abs(gained) * 100 if gained else 100.0
    bench.say(f"{fault.kind}: estimated {record.estimated_improvement} %, measured {gained:.1f} %")
    return Figure(
        f"advisor.{fault.kind}_estimate_off_percent",
        off,
        f"estimated {record.estimated_improvement} %, measured {gained:.1f} % less {of}",
        f"{before:.3g} before, {after:.3g} after, {runs} runs each",
        at_most=OFF_BY_PERCENT,
    )


def run(template: Template, times: int, fault: Fault) -> None:
    """Run a template so many times, one after another, so that nothing waits for a worker."""
    for number in range(times):
        # Every second thing is bad, every fourth run hangs: by number, so that chance does not decide what is gained.
        given: dict[str, Any] = {"bad": float(number % 2), "hangs": float(number % 4 == 0)}
        given |= {"city": f"city-{number % 4}", "letter": f"Letter {number}: where is my parcel? " * 20}
        given |= {"items": list(range(4 + number % 9))} if fault.items else {}
        execution = start_execution(
            workspace=template.workspace,
            actor=template.owner,
            template=template,
            input=given,
            options={"priority": fault.priority},
        ).execution
        engine.wait_for_end([execution.pk], TIMEOUT_S)

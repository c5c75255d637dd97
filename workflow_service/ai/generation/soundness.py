"""Flows that the engine can run: what words can tell and a graph cannot hold is made simpler, and said so.

Joins that wait for steps inside and outside of a loop, circles without a condition: each remedy gives up as little
of what was told as it can, and the last one, a plain sequence, always runs.
"""

from collections.abc import Callable
from dataclasses import replace

from workflow_service.ai.generation.assembly import assemble
from workflow_service.ai.generation.facts import facts_by_step
from workflow_service.ai.generation.flow import Flow, Step, Way, closed
from workflow_service.ai.generation.work import Offers, find_work
from workflow_service.engine.definition import END, START
from workflow_service.engine.dry_run import DryRunStatus, dry_run
from workflow_service.engine.errors import InvalidDefinition
from workflow_service.engine.findings import errors_in
from workflow_service.engine.plan import compile_plan
from workflow_service.engine.validation import validate


def make_sound(flow: Flow) -> Flow:
    """Return the flow, or the nearest simpler one that is valid and comes to an end."""
    for remedy, note in _REMEDIES:
        changed = remedy(flow)
        if changed is flow and note:
            continue
        if is_sound(changed):
            return changed.with_notes([note] if note else [])
    return in_one_line(flow).with_notes(
        ["The text tells an order that cannot be run, so its steps run one after the other."]
    )


def is_sound(flow: Flow) -> bool:
    """Say whether people could run the flow as it stands."""
    facts = facts_by_step(flow)
    works = {step.id: find_work(step, facts[step.id], Offers()) for step in flow.steps}
    try:
        definition = assemble(flow, works)
    except InvalidDefinition:
        return False
    if errors_in(validate(definition)):
        return False
    run = dry_run(compile_plan(definition))
    return not run.problems and run.status is not DryRunStatus.STUCK


def without_gates(flow: Flow) -> Flow:
    """Return the flow with a step of its own where several that run at the same time are decided upon."""
    gates = dict.fromkeys(way.sources for way in flow.ways if len(way.sources) > 1)
    for number, sources in enumerate(gates, 1):
        name = f"combine_results{'' if number == 1 else f'_{number}'}"
        joined = [way for way in flow.ways if way.sources == sources]
        kept = [way for way in flow.ways if way.sources != sources]
        flow = replace(
            flow,
            steps=(*flow.steps, Step(name, "Combine the results")),
            ways=(
                *kept,
                *(Way((source,), name) for source in sources),
                *(replace(way, sources=(name,)) for way in joined),
            ),
        )
    return flow


def without_ways_back(flow: Flow) -> Flow:
    """Return the flow with every way to an earlier step leading to the end instead, unless a condition guards it."""
    return _cut(flow, lambda way: way.is_plain)


def without_loops(flow: Flow) -> Flow:
    """Return the flow with every way to an earlier step leading to the end instead."""
    return _cut(flow, lambda way: True)


def in_one_line(flow: Flow) -> Flow:
    """Return the steps one after the other, in the order they are told."""
    names = [step.id for step in flow.steps]
    ways = [Way((source,), target) for source, target in zip((START, *names), (*names, END), strict=True)]
    plain = [replace(step, max_rounds=None, for_each="") for step in flow.steps]
    return replace(flow, steps=tuple(plain), ways=tuple(ways))


def _cut(flow: Flow, wanted: Callable[[Way], bool]) -> Flow:
    order = {step.id: index for index, step in enumerate(flow.steps)}
    ways: list[Way] = []
    cut = False
    for way in flow.ways:
        back = any(order.get(source, -1) >= order.get(way.target, len(order)) for source in way.sources)
        if back and wanted(way):
            cut = True
            way = replace(way, target=END)
        if not (way.on_error and way.target == END) and way not in ways:
            ways.append(way)
    if not cut:
        return flow
    steps = tuple(replace(step, max_rounds=None) for step in flow.steps)
    reached = {way.target for way in ways}
    kept = [way for way in ways if not (START in way.sources and way.target not in order)]
    return closed(replace(flow, steps=steps, ways=tuple(kept))) if reached else flow


_REMEDIES: tuple[tuple[Callable[[Flow], Flow], str], ...] = (
    (lambda flow: flow, ""),
    (without_gates, "What is decided after several steps at the same time is decided in a step of its own."),
    (without_ways_back, "A way back without a condition would never end, so it leads to the end."),
    (lambda flow: without_ways_back(without_gates(flow)), "Ways back without a condition lead to the end."),
    (
        lambda flow: without_loops(without_gates(flow)),
        "The text's repetitions cannot be run as told, so they lead to the end.",
    ),
)

"""What the caller of a generation wants beside its goal: document A section 5.1, ``constraints`` and ``preferences``.

Each is a change of the flow, or of the settings of the whole run; what was done for it is said in the flow's notes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise

from workflow_service.ai.english.verbs import base_of
from workflow_service.ai.english.word_lists import words
from workflow_service.ai.generation.flow import Flow, Step, StepKind, Way
from workflow_service.ai.generation.soundness import make_sound
from workflow_service.engine.definition import END, START, JsonObject
from workflow_service.engine.errors import Problem, WorkflowError

PARALLEL_BLOCKS = 5
# What is hard to take back, so that a person is asked before it.
_GRAVE = words(
    """
    charge delete deploy destroy disburse drop launch load merge migrate onboard order pay promote provision publish
    purchase purge refund release remove reset restart revoke sell send ship submit terminate transfer uninstall upgrade
    wipe withdraw
    """
)
# Telling several people something needs none of the others to be told first.
_TELLING = words("alert announce broadcast email inform log mail message notify publish record send tell")
FAILURE_STEP = "handle_failure"


class ErrorHandling(StrEnum):
    """How much is done about failures: nothing, the usual, or everything there is."""

    MINIMAL = "minimal"
    STANDARD = "standard"
    AGGRESSIVE = "aggressive"


@dataclass(frozen=True, slots=True)
class Wishes:
    """Document A's constraints and preferences; None is what the caller leaves open. ``timeout_ms`` is the run's.

    ``context`` is document B's: what a description does not say, such as its domain.
    """

    max_blocks: int | None = None
    timeout_ms: int | None = None
    preferred_agents: tuple[str, ...] = ()
    parallel: bool | None = None
    human_approval: bool | None = None
    error_handling: ErrorHandling = ErrorHandling.STANDARD
    context: JsonObject = field(default_factory=dict)


class TooManyBlocks(WorkflowError):
    """The goal needs more blocks than the caller allows, and no more of them can be put together."""

    code = "TOO_MANY_BLOCKS"


def apply_wishes(flow: Flow, wishes: Wishes, *, mend: bool = True) -> Flow:
    """Return the flow as ``wishes`` want it; raises ``TooManyBlocks``.

    ``mend``: what cannot be run is made simpler; without, it is left to be found, and said to who made it.
    """
    if wishes.parallel is False:
        flow = in_sequence(flow)
    elif wishes.parallel:
        flow = side_by_side(flow)
    if wishes.human_approval:
        flow = with_approval(flow)
    elif wishes.human_approval is False and any(step.kind is StepKind.APPROVAL for step in flow.steps):
        flow = flow.with_notes(
            ["The goal asks for approval itself, so it is there although humanApproval is false."]
        )
    if wishes.error_handling is ErrorHandling.AGGRESSIVE:
        flow = with_failure_step(flow)
    flow = make_sound(flow) if mend else flow
    if wishes.max_blocks is None:
        return flow
    merged = merged_to(flow, wishes.max_blocks)
    return make_sound(merged) if mend else merged


def settings_of(wishes: Wishes) -> JsonObject:
    """Return the global settings that the wishes come to."""
    settings: JsonObject = {}
    if wishes.timeout_ms is not None:
        settings["timeout"] = wishes.timeout_ms
    if wishes.parallel is not None:
        settings["maxParallelBlocks"] = PARALLEL_BLOCKS if wishes.parallel else 1
    retries = {ErrorHandling.MINIMAL: 0, ErrorHandling.STANDARD: 3, ErrorHandling.AGGRESSIVE: 5}
    settings["defaultRetryPolicy"] = {
        "maxRetries": retries[wishes.error_handling],
        "backoffStrategy": "exponential",
    }
    return settings


def in_sequence(flow: Flow) -> Flow:
    """Return the flow with every plain split undone: its parts come one after the other, in the order they are told."""
    changed = flow
    for source in (START, *(step.id for step in flow.steps)):
        targets = [
            way.target
            for way in changed.ways
            if way.sources == (source,) and way.is_plain and way.target != END
        ]
        if len(targets) > 1:
            changed = _chained(changed, source, targets)
    if changed is flow:
        return flow
    return changed.with_notes(["What could run in parallel runs in sequence, as parallelExecution is false."])


def _chained(flow: Flow, source: str, targets: list[str]) -> Flow:
    """Lead from the end of each part of a split to the next part; the parts must meet again in one step or none."""
    parts = [_part(flow, target, targets) for target in targets]
    if any(part is None for part in parts):
        return flow
    tails = [part[-1] for part in parts if part]
    joins = [way for way in flow.ways if set(way.sources) & set(tails[:-1]) and way.is_plain]
    gates = [way for way in joins if len(way.sources) > 1]
    if any(
        way
        for way in flow.ways
        if len(way.sources) > 1 and not way.is_plain and set(way.sources) & set(tails)
    ):
        return flow
    kept = [
        way
        for way in flow.ways
        if way not in joins and not (way.sources == (source,) and way.target in targets[1:])
    ]
    links = [Way((tail,), head) for tail, head in zip(tails, targets[1:], strict=False)]
    met = dict.fromkeys(way.target for way in gates)
    known = {(way.sources, way.target) for way in kept}
    return replace(
        flow,
        ways=(
            *kept,
            *links,
            *(Way((tails[-1],), target) for target in met if ((tails[-1],), target) not in known),
        ),
    )


def _part(flow: Flow, head: str, heads: list[str]) -> list[str] | None:
    """Return the plain chain of steps from ``head`` on, up to where it meets others; None where it branches."""
    part = [head]
    while True:
        ways = [way for way in flow.ways if part[-1] in way.sources and not way.on_error]
        if len(ways) != 1:
            return part if not ways else None
        (way,) = ways
        meets = way.target == END or len(way.sources) > 1 or len(flow.ways_to(way.target)) > 1
        if meets or way.target in heads:
            return part if way.is_plain or len(way.sources) > 1 else None
        if not way.is_plain:
            return None
        part.append(way.target)


def side_by_side(flow: Flow) -> Flow:
    """Return the flow with neighbouring steps that only tell people or systems something done at the same time."""
    run: list[str] = []
    for step in flow.steps:
        if run and _follows_alone(flow, run[-1], step.id) and _only_tells(flow, step.id):
            run.append(step.id)
            continue
        flow = _split(flow, run)
        run = [step.id] if _only_tells(flow, step.id) else []
    return _split(flow, run)


def _split(flow: Flow, run: list[str]) -> Flow:
    into = [way for way in flow.ways if run and way.target == run[0]]
    if len(run) < 2 or any(len(way.sources) > 1 for way in into):
        return flow
    links = {((one,), other) for one, other in pairwise(run)}
    onward = [way for way in flow.ways if way.sources == (run[-1],)]
    kept = [way for way in flow.ways if (way.sources, way.target) not in links and way not in onward]
    heads = [replace(way, target=name) for name in run[1:] for way in into]
    tails = [replace(way, sources=(name,)) for name in run for way in onward]
    note = f"These run at the same time, as none needs another: {', '.join(run)}."
    return replace(flow, ways=(*kept, *heads, *tails)).with_notes([note])


def _only_tells(flow: Flow, name: str) -> bool:
    step = flow.step(name)
    plain = all(way.is_plain for way in flow.ways_from(name)) and len(flow.ways_from(name)) == 1
    return plain and step.kind is StepKind.WORK and base_of(step.id.partition("_")[0]) in _TELLING


def _follows_alone(flow: Flow, name: str, following: str) -> bool:
    ways = [way for way in flow.ways if name in way.sources]
    return len(ways) == 1 and ways[0] == Way((name,), following) and len(flow.ways_to(following)) == 1


def with_approval(flow: Flow) -> Flow:
    """Return the flow with an approval before its gravest step, unless it has one already."""
    if any(step.kind is StepKind.APPROVAL or step.asks_first for step in flow.steps):
        return flow
    works = [step for step in flow.steps if step.kind is StepKind.WORK]
    grave = [step for step in works if base_of(step.id.partition("_")[0]) in _GRAVE]
    # Telling is the mildest of the grave ones: where there is another, that is the one to ask about.
    worst = [step for step in grave if not step.id.startswith("send")] or grave or works[-1:]
    if not worst:
        return flow
    name = _free_name(flow, f"approve_{worst[0].id}"[:90])
    asked = Step(name, f"Approve: {worst[0].title}", kind=StepKind.APPROVAL)
    ways = tuple(replace(way, target=name) if way.target == worst[0].id else way for way in flow.ways)
    index = flow.steps.index(worst[0])
    return replace(
        flow,
        steps=(*flow.steps[:index], asked, *flow.steps[index:]),
        ways=(*ways, Way((name,), worst[0].id, "approved==True"), Way((name,), END, "approved==False")),
    ).with_notes([f"A person approves before '{worst[0].id}', as humanApproval is true."])


def with_failure_step(flow: Flow) -> Flow:
    """Return the flow with a way from every step's failure to one step that deals with it."""
    handled = {source for way in flow.ways if way.on_error for source in way.sources}
    behind = {way.target for way in flow.ways if way.on_error}
    risky = [
        step.id
        for step in flow.steps
        if step.kind is StepKind.WORK and step.id not in handled | behind and not step.optional
    ]
    if not risky:
        return flow
    name = _free_name(flow, FAILURE_STEP)
    step = Step(name, "Find out what failed, and mend it or tell those concerned")
    ways = [Way((source,), name, on_error=True) for source in risky]
    return replace(flow, steps=(*flow.steps, step), ways=(*flow.ways, *ways, Way((name,), END))).with_notes(
        [
            f"Steps are retried up to 5 times; what still fails leads to '{name}', as errorHandling is aggressive."
        ]
    )


def merged_to(flow: Flow, most: int) -> Flow:
    """Return the flow with neighbouring plain steps put together until at most ``most`` are left."""
    merged: list[str] = []
    while len(flow.steps) > most:
        pair = next(_pairs(flow), None)
        if pair is None:
            message = (
                f"the goal needs {len(flow.steps)} blocks, and no more of them can be put together; "
                f"maxBlocks allows {most}"
            )
            raise TooManyBlocks(
                message,
                [Problem("TOO_MANY_BLOCKS", message, "/constraints/maxBlocks", f"allow {len(flow.steps)}")],
            )
        first, second = pair
        merged.append(second.id)
        flow = _merged(flow, first, second)
    return flow.with_notes([f"Put together to keep to {most} blocks: {', '.join(merged)}."] if merged else [])


def _pairs(flow: Flow) -> Iterator[tuple[Step, Step]]:
    order = sorted(flow.steps, key=lambda step: len(step.title))
    for first in order:
        ways = [way for way in flow.ways if first.id in way.sources]
        plain = [way for way in ways if not way.on_error]
        if (
            first.kind is not StepKind.WORK
            or len(plain) != 1
            or not plain[0].is_plain
            or len(plain[0].sources) > 1
        ):
            continue
        if plain[0].target == END or len(flow.ways_to(plain[0].target)) != 1:
            continue
        second = flow.step(plain[0].target)
        if second.kind is StepKind.WORK and second.for_each == first.for_each and second.agent == first.agent:
            yield first, second


def _merged(flow: Flow, first: Step, second: Step) -> Flow:
    rest = second.title[:1].lower() + second.title[1:]
    both = replace(
        second,
        id=first.id,
        title=f"{first.title.rstrip('.')}, then {rest}"[:255],
        text=f"{first.text or first.title} Then {second.text or rest}".strip()[:2_000],
        retries=max((one for one in (first.retries, second.retries) if one is not None), default=None),
        max_rounds=first.max_rounds,
    )
    steps = tuple(both if step.id == first.id else step for step in flow.steps if step.id != second.id)
    ways: list[Way] = []
    for way in flow.ways:
        if way.sources == (first.id,) and way.target == second.id:
            continue
        sources = tuple(first.id if one == second.id else one for one in way.sources)
        changed = replace(way, sources=sources)
        if changed not in ways:
            ways.append(changed)
    return replace(flow, steps=steps, ways=tuple(ways))


def _free_name(flow: Flow, wanted: str) -> str:
    taken = {step.id for step in flow.steps}
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    return name

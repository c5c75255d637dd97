"""Blocks in a row that need nothing of each other: they could work side by side.

What a block reads and writes says the data flow (``engine/recommendations.py``); of work whose effects outside are not
known the advice says so.
"""

from collections.abc import Iterator

from workflow_service.advisor.editing import edited, side_by_side
from workflow_service.advisor.ideas import Case, Idea
from workflow_service.advisor.vocabulary import Effort, Kind, Measure, Type
from workflow_service.advisor.wording import listed
from workflow_service.engine.recommendations import Effect, Independence


def parallelise(case: Case) -> Iterator[Idea]:
    """Yield an idea for each longest row of independent blocks."""
    found = Independence(case.plan, case.graph, case.writes, case.effects)
    for group in found.groups():
        names = _up_to_a_choice(case, tuple(case.plan.nodes[node].id for node in group))
        if len(names) > 1:
            yield idea_of(case, names)


def idea_of(case: Case, names: tuple[str, ...]) -> Idea:
    """Return the idea that blocks in a row work side by side."""
    means = {name: round(case.recordings.mean_seconds(name), 3) for name in names}
    unknown = [name for name in names if case.effects.get(name, Effect.UNKNOWN) is Effect.UNKNOWN]
    condition = f"It must not matter in which order {listed(unknown)} work outside." if unknown else ""
    return Idea(
        Kind.PARALLELISE,
        Type.PERFORMANCE,
        Measure.DURATION,
        names,
        f"Let {listed(names)} work side by side",
        f"None of {listed(names)} uses what another gives, and they wait for each other: "
        f"{sum(means.values()):.1f} s one after another, {max(means.values()):.1f} s together.",
        lambda: edited(case.definition, lambda document: side_by_side(document, names)),
        Effort.MEDIUM if unknown else Effort.LOW,
        {"parallelGroup": {"blocks": list(names)}},
        {"meanSeconds": dict(means), "effectsUnknown": list(unknown)},
        condition=condition,
    )


def _up_to_a_choice(case: Case, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the row without a last block that chooses or joins: what it decides would not wait for the others."""
    last = case.definition.block(names[-1])
    in_gate = any(names[-1] in gate.sources for gate in case.definition.gates)
    return names[:-1] if last.conditions.branches or in_gate else names

"""Several steps for each item, with a decision among them: a loop, as a map runs one block a time.

Where the steps for an item lead one after the other each becomes a map. Where the way parts by what was found of an
item, a step before them takes the next item, and every way out of them leads back to it until there is none.
"""

from dataclasses import replace

from workflow_service.ai.generation.flow import Flow, Step, Way

_TAKEN = 40


def with_item_loops(flow: Flow) -> Flow:
    """Return the flow with a loop in place of maps that decisions depend on."""
    for items in dict.fromkeys(step.for_each for step in flow.steps if step.for_each):
        members = frozenset(step.id for step in flow.steps if step.for_each == items)
        if any(not way.is_plain and not way.on_error for way in flow.ways if members & set(way.sources)):
            flow = _looped(flow, items, members)
    return flow


def _looped(flow: Flow, items: str, members: frozenset[str]) -> Flow:
    noun = "_".join(items.lower().split())[:_TAKEN]
    noun = "".join(letter for letter in noun if letter.isalnum() or letter == "_") or "item"
    taken = {step.id for step in flow.steps}
    name = f"take_next_{noun}"
    while name in taken:
        name += "_2"
    step = Step(name, f"Take the next {items.strip()}, or say that there is none left")
    heads = dict.fromkeys(
        way.target for way in flow.ways if way.target in members and not members & set(way.sources)
    )
    leaving = dict.fromkeys(
        way.target
        for way in flow.ways
        if members & set(way.sources) and way.target not in members and not way.on_error
    )
    more = f"more_{noun}"
    ways: list[Way] = []
    for way in flow.ways:
        inside = bool(members & set(way.sources))
        enters = way.target in members and not inside
        leaves = inside and way.target not in members and not way.on_error
        moved = replace(way, target=name) if enters or leaves else way
        if moved not in ways:
            ways.append(moved)
    ways += [Way((name,), head, f"{more}==True") for head in heads]
    # What follows the items comes once, when there is none left.
    ways += [Way((name,), target, f"{more}==False") for target in list(leaving)[:1]]
    steps = [replace(one, for_each="") if one.id in members else one for one in flow.steps]
    at = min(index for index, one in enumerate(steps) if one.id in members)
    return replace(flow, steps=(*steps[:at], step, *steps[at:]), ways=tuple(ways))

"""Changes to definitions, as documents: what detectors propose is made of these. A document is changed in place."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from workflow_service.engine.definition import END, Definition
from workflow_service.engine.documents import dump_definition, load_definition

Document = dict[str, Any]


def edited(definition: Definition, change: Callable[[Document], object]) -> Definition:
    """Return a definition as ``change`` leaves its document; raises ``InvalidDefinition`` if that is none."""
    document: Document = dump_definition(definition)
    change(document)
    return load_definition(document)


def block_in(document: Document, block_id: str) -> Document:
    """Return a block of a document."""
    found: Document = next(block for block in document["blocks"] if block["blockId"] == block_id)
    return found


def with_fields(definition: Definition, block_id: str, **fields: Any) -> Definition:
    """Return a definition with these fields (camelCase) of a block replaced."""
    return edited(definition, lambda document: block_in(document, block_id).update(fields))


def branches_of(document: Document) -> Iterator[Document]:
    """Yield every branch, of blocks and of gates."""
    for block in document["blocks"]:
        yield from block.get("conditions", {}).get("branches", ())
    for gate in document.get("gates", ()):
        yield from gate.get("branches", ())


def ways_to(document: Document, block_id: str) -> Iterator[list[str]]:
    """Yield every list that leads to a block other than its own dependencies: of branches, gates and error edges."""
    for branch in branches_of(document):
        if block_id in branch["nextBlocks"]:
            yield branch["nextBlocks"]
    for gate in document.get("gates", ()):
        if block_id in gate.get("nextBlocks", ()):
            yield gate["nextBlocks"]
    for block in document["blocks"]:
        if block_id in block.get("onError", ()):
            yield block["onError"]


def dependents_of(document: Document, block_id: str) -> list[Document]:
    """Return the blocks that depend on one."""
    return [block for block in document["blocks"] if block_id in block.get("dependencies", ())]


def depend_on(block: Document, names: Iterable[str]) -> None:
    """Let a block depend on these and nothing else."""
    kept = sorted(set(names))
    if kept:
        block["dependencies"] = kept
    else:
        block.pop("dependencies", None)


def side_by_side(document: Document, group: tuple[str, ...]) -> None:
    """Let blocks in a row, none of which needs another, begin together; what followed the last waits for all."""
    first, last = group[0], group[-1]
    members = set(group)
    outer = set(block_in(document, first).get("dependencies", ()))
    followers = [block for block in dependents_of(document, last) if block["blockId"] not in members]
    for block in followers:
        depend_on(block, {*block["dependencies"], *group})
    for name in group[1:]:
        block = block_in(document, name)
        depend_on(block, {*outer, *block.get("dependencies", ())} - members)
        for way in ways_to(document, first):
            way.append(name)
    ends = set(document.get("endDependencies", ()))
    if last in ends:
        document["endDependencies"] = sorted(ends | members)


def swapped(document: Document, first: str, then: str) -> None:
    """Let ``then``, which follows ``first`` alone, work before it; what followed ``then`` follows ``first``.

    Where ``then`` chooses, one of its ways goes on to ``first``: the one that does not lead to the end.
    """
    earlier, later = block_in(document, first), block_in(document, then)
    for way in ways_to(document, first):
        way[way.index(first)] = then
    before = [name for name in earlier.get("dependencies", ()) if name != then]
    followers = dependents_of(document, then)
    for block in followers:
        depend_on(block, {*block["dependencies"], first} - {then})
    depend_on(later, before)
    branches = later.get("conditions", {}).get("branches", ())
    onward = {name for branch in branches for name in branch["nextBlocks"]} - {END}
    for branch in branches:
        if set(branch["nextBlocks"]) - {END}:
            branch["nextBlocks"] = [first]
    for name in onward:
        block = block_in(document, name)
        depend_on(block, {*block.get("dependencies", ()), first})
    depend_on(earlier, () if onward else {then})
    ends = set(document.get("endDependencies", ()))
    if then in ends:
        document["endDependencies"] = sorted(ends - {then} | {first})


def without_branch(document: Document, block_id: str, position: int) -> list[str]:
    """Take a branch out of a block, and what nothing leads to any more; returns the blocks that went."""
    conditions = block_in(document, block_id)["conditions"]
    pending = [name for name in conditions["branches"].pop(position)["nextBlocks"] if name != END]
    gone: list[str] = []
    while pending:
        name = pending.pop()
        if name in gone or not _is_left_alone(document, name):
            continue
        gone.append(name)
        block = block_in(document, name)
        document["blocks"].remove(block)
        after = dependents_of(document, name)
        for follower in after:
            depend_on(follower, set(follower["dependencies"]) - {name})
        pending += [follower["blockId"] for follower in after]
        pending += [way for way in _ways_out(block) if way != END]
        ends = set(document.get("endDependencies", ())) - {name}
        document["endDependencies"] = sorted(ends)
    return gone


def _is_left_alone(document: Document, block_id: str) -> bool:
    known = {block["blockId"] for block in document["blocks"]}
    if block_id not in known or any(block_id in gate["sources"] for gate in document.get("gates", ())):
        return False
    return not block_in(document, block_id).get("dependencies") and not any(ways_to(document, block_id))


def _ways_out(block: Document) -> Iterator[str]:
    for branch in block.get("conditions", {}).get("branches", ()):
        yield from branch["nextBlocks"]
    yield from block.get("onError", ())

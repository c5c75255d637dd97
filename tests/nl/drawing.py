"""A workflow as a drawing: named blocks, and edges that each have a polarity (README.md says the rules).

A drawing is made of a definition without running anything; the sense of a condition is read from its text alone.
"""

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from workflow_service.engine.definition import END, START, Block, Branch, Definition
from workflow_service.engine.states import ToolType

PLAIN, YES, NO, ELSE, ERROR, LOOP = "plain", "yes", "no", "else", "error", "loop"
POLARITIES = frozenset({PLAIN, YES, NO, ELSE, ERROR, LOOP})
TURNED = {YES: NO, NO: YES}
COMPLEMENTS: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
# What says that something is wrong or absent. "virus_free" holds two of them, and is good again.
NEGATIVE_WORDS = frozenset(
    """
    no not non none without free fail fails failed failing failure failures error errors invalid missing
    incomplete incorrect wrong bad broken corrupt corrupted reject rejects rejected rejection deny
    denies denied denial decline declines declined refused refusal disapproved unapproved unavailable
    unsuccessful unhealthy unverified unable unresolved unsafe insufficient infected virus malicious
    malware expired impossible false negative
    """.split()  # noqa: SIM905 - a list of words reads better as text
)

Edge = tuple[str, str]


@dataclass(frozen=True)
class Drawing:
    """Blocks by name, without start and end, and edges with the polarities that are right (one, if it is drawn)."""

    blocks: tuple[str, ...]
    edges: Mapping[Edge, frozenset[str]]


def words_of(name: str) -> list[str]:
    """Return the words of a name, in small letters."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.findall(r"[a-z0-9]+", spaced.lower())


def turns(text: str) -> bool:
    """Return whether a text says the opposite of something good: whether it holds an odd number of negative words."""
    return sum(word in NEGATIVE_WORDS for word in words_of(text)) % 2 == 1


def draw(definition: Definition) -> Drawing:
    """Return the drawing of a definition."""
    edges: dict[Edge, set[str]] = {}
    for source, ways in _ways_out(definition):
        for target, polarity in ways:
            edges.setdefault((source, target), set()).add(polarity)
    for block in definition.blocks:
        for target in block.on_error:
            edges.setdefault((block.block_id, target), set()).add(ERROR)
    _add_start_and_end(definition, edges)
    for edge in back_edges(list(edges)):
        edges[edge] = {LOOP}
    names = tuple(block.block_id for block in definition.blocks)
    return Drawing(names, {edge: frozenset(found) for edge, found in edges.items()})


def marks_of(definition: Definition) -> dict[str, frozenset[str]]:
    """Return the marks of each block: ``approval``, ``for_each``, ``wait``, ``retry=N``, ``deadline=SECONDS``."""
    return {block.block_id: frozenset(_marks(block)) for block in definition.blocks}


def _marks(block: Block) -> Iterator[str]:
    if block.asks_people:
        yield "approval"
    if block.for_each is not None:
        yield "for_each"
    if block.tool_type is ToolType.WAIT:
        yield "wait"
    if block.retry_policy is not None:
        yield f"retry={block.retry_policy.max_retries}"
    for deadline_ms in (block.timeout, block.human_in_loop.due_in, block.configuration.get("timeout")):
        if isinstance(deadline_ms, int):
            yield f"deadline={deadline_ms // 1_000}"


def _ways_out(definition: Definition) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield, by block, where its edges lead and with what polarity; a join's edges for each of its sources."""
    plain: dict[str, list[str]] = {block.block_id: [] for block in definition.blocks}
    for block in definition.blocks:
        for name in block.dependencies:
            if name in plain:
                plain[name].append(block.block_id)
    for name in definition.end_dependencies:
        plain[name].append(END)
    for block in definition.blocks:
        yield block.block_id, _polar(block.conditions.branches, plain[block.block_id])
    for gate in definition.gates:
        ways = _polar(gate.branches, gate.next_blocks)
        for name in gate.sources:
            yield name, ways


def _polar(branches: Sequence[Branch], plain: Sequence[str]) -> list[tuple[str, str]]:
    """Return the ways out of one decision with their polarities."""
    conditional = [branch for branch in branches if not branch.is_default]
    polarities: list[str] = []
    for index, branch in enumerate(conditional):
        polarities.append(_polarity(branch, conditional[:index], polarities))
    other = PLAIN if not conditional else YES if set(polarities) == {NO} else NO
    ways = [
        (name, polarity)
        for branch, polarity in zip(conditional, polarities, strict=True)
        for name in branch.next_blocks
    ]
    defaults = [name for branch in branches if branch.is_default for name in branch.next_blocks]
    return ways + [(name, other) for name in (*defaults, *plain)]


def _polarity(branch: Branch, earlier: Sequence[Branch], polarities: Sequence[str]) -> str:
    if branch.condition is None:
        return NO if turns(branch.question or "") else YES
    for other, polarity in zip(earlier, polarities, strict=True):
        if other.condition is not None and _is_complement(branch.condition, other.condition):
            return TURNED[polarity]
    return condition_polarity(branch.condition)


def condition_polarity(condition: str) -> str:
    """Return whether a condition asks for what is so (``yes``) or for what is not (``no``)."""
    tree = _parse(condition)
    positive = not turns(condition) if tree is None else _is_positive(tree)
    return YES if positive else NO


def _parse(condition: str) -> ast.expr | None:
    try:
        return ast.parse(condition.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _is_complement(condition: str, other: str) -> bool:
    one, two = _parse(condition), _parse(other)
    if not isinstance(one, ast.Compare) or not isinstance(two, ast.Compare):
        return False
    if len(one.ops) != 1 or len(two.ops) != 1 or COMPLEMENTS.get(type(one.ops[0])) is not type(two.ops[0]):
        return False
    return ast.dump(one.left) == ast.dump(two.left) and ast.dump(one.comparators[0]) == ast.dump(
        two.comparators[0]
    )


def _is_positive(tree: ast.expr) -> bool:
    match tree:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _is_positive(operand)
        case ast.BoolOp(values=[first, *_]):
            return _is_positive(first)
        case ast.Call(args=[first, *_]):
            return _is_positive(first)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            same = not isinstance(op, ast.NotEq | ast.NotIn | ast.IsNot)
            return (_is_positive(left) == _is_positive(right)) == same
        case ast.Compare(left=left, comparators=[first, *_]):
            return _is_positive(left if not isinstance(left, ast.Constant) else first)
        case ast.Constant(value=value):
            return not (value is False or value is None or (isinstance(value, str) and turns(value)))
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return not turns(name)
        case _:
            return not turns(ast.unparse(tree))


def _add_start_and_end(definition: Definition, edges: dict[Edge, set[str]]) -> None:
    entered = {target for _, target in edges}
    left = {source for source, _ in edges}
    for block in definition.blocks:
        if block.block_id not in entered or START in block.dependencies:
            edges.setdefault((START, block.block_id), set()).add(PLAIN)
        if block.block_id not in left:
            edges.setdefault((block.block_id, END), set()).add(PLAIN)


def back_edges(edges: Collection[Edge]) -> set[Edge]:
    """Return the edges that lead back to something before them.

    Those are the ones to a block that every way to their source passes; and where a loop is entered at several places,
    the ones of a cycle that lead nearer to ``start``.
    """
    names = {name for edge in edges for name in edge}
    passing = {name: _distances(START, [edge for edge in edges if name not in edge]) for name in names}
    found = {(source, target) for source, target in edges if source not in passing[target]}
    rest = [edge for edge in edges if edge not in found]
    far = _distances(START, edges)
    nearer = [(source, target) for source, target in rest if far.get(target, 0) < far.get(source, 0)]
    return found | {(source, target) for source, target in nearer if source in _distances(target, rest)}


def _distances(start: str, edges: Collection[Edge]) -> dict[str, int]:
    """Return how many edges lead from ``start`` to each name that can be reached."""
    found, reached = {start: 0}, [start]
    for name in reached:
        for source, target in edges:
            if source == name and target not in found:
                found[target] = found[name] + 1
                reached.append(target)
    return found

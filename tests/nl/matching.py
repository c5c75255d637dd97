"""Matches a drawing with what was expected and counts what is right (README.md says the rules, which are fixed)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.nl.corpus import Description
from tests.nl.drawing import (
    ELSE,
    LOOP,
    NO,
    PLAIN,
    TURNED,
    YES,
    Drawing,
    Edge,
    draw,
    marks_of,
    turns,
    words_of,
)
from workflow_service.engine.definition import END, START, Definition

THRESHOLD = 0.6
STOP_WORDS = frozenset(
    """
    a an the of to in into on onto at for from by with and or as is are be been it its their them they
    his her our your this that these those all any each every both then also if via per using out
    """.split()  # noqa: SIM905 - a list of words reads better as text
)
ORDER_BONUS = 1e-6


@dataclass(frozen=True)
class Counts:
    """What was right, of what was expected and of what was found."""

    right: int = 0
    expected: int = 0
    found: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.right + other.right, self.expected + other.expected, self.found + other.found)

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else float(not self.expected)

    @property
    def recall(self) -> float:
        return self.right / self.expected if self.expected else 1.0

    @property
    def f1(self) -> float:
        both = self.expected + self.found
        return 2 * self.right / both if both else 1.0


@dataclass(frozen=True)
class Score:
    """How a definition compares with what was expected. ``pairs`` are the names drawn, by the block expected."""

    nodes: Counts
    edges: Counts
    marks: Counts
    pairs: Mapping[str, str]
    missing_edges: tuple[Edge, ...] = ()
    extra_edges: tuple[Edge, ...] = ()


def add_up(counts: Iterable[Counts]) -> Counts:
    """Return the sum of counts: the micro average over many descriptions."""
    return sum(counts, Counts())


def stem(word: str) -> str:
    """Return a word without the endings of verbs and plurals."""
    for ending, instead in (("ies", "y"), ("ied", "y")):
        if word.endswith(ending) and len(word) > 4:
            return word[: -len(ending)] + instead
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and len(word) > 3 and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def tokens(name: str) -> Counter[str]:
    """Return the words of a name that count, stemmed."""
    words = words_of(name)
    kept = [word for word in words if word not in STOP_WORDS] or words
    return Counter(stem(word) for word in kept)


def similarity(one: str, other: str) -> float:
    """Return Dice's coefficient of the words of two names, 0 to 1."""
    left, right = tokens(one), tokens(other)
    return 2 * (left & right).total() / ((left.total() + right.total()) or 1)


def match_blocks(names: Mapping[str, Sequence[str]], drawn: Sequence[str]) -> dict[str, str]:
    """Return the best matching one to one: the drawn name of each expected block that has one.

    ``names`` are the names that are right, by expected block.
    """
    expected = list(names)
    weights = [
        [
            _weight(max(similarity(name, other) for name in names[block]), row - column)
            for column, other in enumerate(drawn)
        ]
        for row, block in enumerate(expected)
    ]
    return {
        expected[row]: drawn[column] for row, column in best_assignment(weights) if weights[row][column] > 0
    }


def _weight(score: float, distance: int) -> float:
    return score - ORDER_BONUS * abs(distance) if score >= THRESHOLD else 0.0


def best_assignment(weights: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Return the (row, column) pairs, one to one, whose weights have the largest sum.

    The Hungarian method with potentials, on the matrix filled up with zeros to a square.
    """
    size = max(len(weights), max((len(row) for row in weights), default=0))
    cost = [[0.0] * (size + 1) for _ in range(size + 1)]
    for row, line in enumerate(weights, start=1):
        for column, weight in enumerate(line, start=1):
            cost[row][column] = -weight
    row_potential, column_potential = [0.0] * (size + 1), [0.0] * (size + 1)
    row_of = [0] * (size + 1)
    for row in range(1, size + 1):
        _augment(cost, row_potential, column_potential, row_of, row, size)
    width = len(weights[0]) if weights else 0
    return sorted(
        (row_of[column] - 1, column - 1)
        for column in range(1, size + 1)
        if row_of[column] <= len(weights) and column <= width
    )


def _augment(
    cost: list[list[float]],
    row_potential: list[float],
    column_potential: list[float],
    row_of: list[int],
    row: int,
    size: int,
) -> None:
    """Give ``row`` a column, moving other rows along the cheapest path."""
    row_of[0], column = row, 0
    slack, came_from, done = [float("inf")] * (size + 1), [0] * (size + 1), [False] * (size + 1)
    while row_of[column]:
        done[column] = True
        here, step, following = row_of[column], float("inf"), 0
        for other in range(1, size + 1):
            if done[other]:
                continue
            reduced = cost[here][other] - row_potential[here] - column_potential[other]
            if reduced < slack[other]:
                slack[other], came_from[other] = reduced, column
            if slack[other] < step:
                step, following = slack[other], other
        for other in range(size + 1):
            if done[other]:
                row_potential[row_of[other]] += step
                column_potential[other] -= step
            else:
                slack[other] -= step
        column = following
    while column:
        row_of[column] = row_of[came_from[column]]
        column = came_from[column]


def score_definition(description: Description, definition: Definition) -> Score:
    """Return how a definition made of a description compares with what was expected."""
    score = score_drawing(description, draw(definition))
    drawn_marks = marks_of(definition)
    wanted = {(block, mark) for block, marks in description.marks.items() for mark in marks}
    right = sum(mark in drawn_marks.get(score.pairs.get(block, ""), ()) for block, mark in wanted)
    marks = Counts(right, len(wanted), sum(map(len, drawn_marks.values())))
    return Score(score.nodes, score.edges, marks, score.pairs, score.missing_edges, score.extra_edges)


def score_drawing(description: Description, drawn: Drawing) -> Score:
    """Return how a drawing compares with what was expected; marks apart."""
    pairs = match_blocks(description.names, drawn.blocks)
    left_out = [name for name in description.optional if name not in pairs]
    expected = expected_edges(description, left_out)
    names = {**pairs, START: START, END: END}
    right = {
        edge
        for edge, polarities in expected.items()
        if (names.get(edge[0], ""), names.get(edge[1], "")) in drawn.edges
        and polarities & drawn.edges[(names[edge[0]], names[edge[1]])]
    }
    met = {(names[source], names[target]) for source, target in right}
    return Score(
        nodes=Counts(len(pairs), len(description.names) - len(left_out), len(drawn.blocks)),
        edges=Counts(len(right), len(expected), len(drawn.edges)),
        marks=Counts(),
        pairs=pairs,
        missing_edges=tuple(edge for edge in expected if edge not in right),
        extra_edges=tuple(edge for edge in drawn.edges if edge not in met),
    )


def expected_edges(description: Description, left_out: Iterable[str] = ()) -> dict[Edge, frozenset[str]]:
    """Return the edges expected, with the polarities that are right, once some optional blocks are taken out."""
    edges = {
        edge: _positive(polarities, description.variables.get(edge, ""))
        for edge, polarities in description.drawing.edges.items()
    }
    edges = {edge: _without_else(edge, polarities, edges) for edge, polarities in edges.items()}
    for block in left_out:
        edges = _without_block(block, edges)
    return edges


def _positive(polarities: frozenset[str], variable: str) -> frozenset[str]:
    """Return polarities as if the variable were named for what is good."""
    return frozenset(TURNED.get(one, one) for one in polarities) if turns(variable) else polarities


def _without_else(
    edge: Edge, polarities: frozenset[str], edges: Mapping[Edge, frozenset[str]]
) -> frozenset[str]:
    """Return polarities with ``else`` read as the other way from the block's other conditions."""
    if ELSE not in polarities:
        return polarities
    others = [found for other, found in edges.items() if other[0] == edge[0] and other[1] != edge[1]]
    conditions = [found - {ELSE, PLAIN, LOOP} for found in others]
    turned = any(NO in found for found in conditions) and not any(YES in found for found in conditions)
    return (polarities - {ELSE}) | {YES if turned else NO}


def _without_block(block: str, edges: Mapping[Edge, frozenset[str]]) -> dict[Edge, frozenset[str]]:
    """Return the edges with what led to a block leading to what followed it."""
    kept = {edge: polarities for edge, polarities in edges.items() if block not in edge}
    for (source, middle), before in edges.items():
        for (again, target), after in edges.items():
            if middle == again == block:
                joined = after if LOOP in after or before == {PLAIN} else before
                kept[(source, target)] = kept.get((source, target), frozenset()) | joined
    return kept

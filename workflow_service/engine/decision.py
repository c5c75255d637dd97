"""What a DECIDE node has to decide: which ways are open, what each is called, and what choosing some of them means.

A decision can name nothing but a declared branch: whoever decides (a model, a rule, a person) is offered the keys of
``Choice`` and answers with some of them, and ``edges_of`` refuses every other word. Conditions that stand among the
questions are evaluated here, by rule; the questions before the first that holds are what is left to ask.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from workflow_service.engine.definition import END
from workflow_service.engine.expressions import Expression, Scope, evaluate_condition
from workflow_service.engine.graph import END_NODE, Node
from workflow_service.engine.plan import Plan

# The key of what is taken where none of the options is.
ELSE = "else"


@dataclass(frozen=True, slots=True)
class Option:
    """One way that may be taken. ``text`` is its question, or the condition that holds; empty for the default."""

    key: str
    text: str
    targets: tuple[str, ...]
    edges: tuple[int, ...]
    stand_in: Expression | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What is left to be decided: ``options`` are questions, in order.

    ``rest`` is taken where none of them is, and is None where there is no such way. With ``many`` any number of options
    may be taken, and the edges ``sure`` are in any case. ``read`` are the conditions evaluated, with their results.
    """

    options: tuple[Option, ...]
    rest: Option | None
    many: bool = False
    sure: tuple[int, ...] = ()
    sure_targets: tuple[str, ...] = ()
    read: tuple[tuple[str, bool], ...] = ()

    @property
    def ways(self) -> tuple[Option, ...]:
        """All that can be taken, the rest last."""
        return self.options if self.rest is None else (*self.options, self.rest)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(way.key for way in self.ways)

    def taken(self, keys: Collection[str]) -> tuple[Option, ...]:
        """Return the ways of these keys; raises ``ValueError`` unless they are a decision."""
        unknown = sorted(set(keys) - set(self.keys))
        if unknown:
            raise ValueError(f"'{unknown[0][:100]}' is none of {', '.join(self.keys)}")
        if len(keys) != 1 and not self.many:
            raise ValueError("exactly one way is taken")
        if self.rest is not None and self.rest.key in keys and len(keys) > 1:
            raise ValueError(f"'{self.rest.key}' is taken alone")
        return tuple(way for way in self.ways if way.key in keys)

    def edges_of(self, keys: Collection[str]) -> tuple[int, ...]:
        """Return the edges that a decision takes; raises ``ValueError`` unless it is one."""
        return tuple(dict.fromkeys([*self.sure, *(edge for way in self.taken(keys) for edge in way.edges)]))

    def key_of_target(self, target: str) -> str | None:
        """Return the key of the first way that leads to a target, None if none does."""
        return next((way.key for way in self.ways if target in way.targets), None)


def choice_of(plan: Plan, node: Node, scope: Scope) -> Choice:
    """Return what a DECIDE node has to decide, its conditions read in ``scope``; raises ``ExpressionError``."""
    names = _Keys()
    options: list[Option] = []
    sure: list[int] = []
    read: list[tuple[str, bool]] = []
    many = node.routing.mode == "inclusive"
    rest = None
    if node.routing.default is not None:
        rest = Option(ELSE, "", _targets(plan, node.routing.default), node.routing.default)
    for branch in node.routing.branches:
        targets = _targets(plan, branch.edges)
        # Every branch has its key, whether it is open or not: a key means the same in every run.
        key = names.key(targets)
        if branch.question is not None:
            options.append(Option(key, branch.question, targets, branch.edges, branch.expression))
            continue
        assert branch.expression is not None  # noqa: S101 - a branch without a question is a condition
        holds = evaluate_condition(branch.expression, scope)
        read.append((branch.expression.source, holds))
        if holds and not many:
            rest = Option(key, branch.expression.source, targets, branch.edges)
            break
        if holds:
            sure += branch.edges
    if many and (sure or rest is None):
        # What holds in any case is taken in place of the default; without either nothing may be.
        rest = Option(ELSE, "", (), ())
    return Choice(tuple(options), rest, many, tuple(sure), _targets(plan, sure), tuple(read))


def by_expressions(choice: Choice, scope: Scope) -> tuple[str, ...] | None:
    """Return what the expressions beside the questions decide; None where one is missing or none leads anywhere.

    Raises ``ExpressionError``.
    """
    if any(option.stand_in is None for option in choice.options):
        return None
    holding: list[str] = []
    for option in choice.options:
        if option.stand_in is not None and evaluate_condition(option.stand_in, scope):
            holding.append(option.key)
            if not choice.many:
                break
    if holding:
        return tuple(holding)
    return None if choice.rest is None else (choice.rest.key,)


def owner_of(plan: Plan, node: Node) -> Node:
    """Return the block or join that a DECIDE node stands behind."""
    return plan.nodes[plan.node_by_id[node.id.removesuffix("?")]]


class _Keys:
    """Gives each branch a key of its own: where it leads, numbered where several lead there."""

    def __init__(self) -> None:
        self._given = {ELSE}

    def key(self, targets: Sequence[str]) -> str:
        wanted = key = ",".join(targets)
        number = 1
        while key in self._given:
            number += 1
            key = f"{wanted}#{number}"
        self._given.add(key)
        return key


def _targets(plan: Plan, edges: Sequence[int]) -> tuple[str, ...]:
    ends = (plan.edges[edge].target for edge in edges)
    return tuple(END if end == END_NODE else plan.nodes[end].id for end in ends)

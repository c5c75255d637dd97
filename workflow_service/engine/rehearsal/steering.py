"""Which way a dry run goes at a condition: as the values say, and where they may be assumed, as is wanted.

A wanted way is tried by assuming values for the paths that its conditions read, judged by evaluating them for real.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from pydantic import JsonValue

from workflow_service.engine.decide import Verdict
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import Expression, Scope, evaluate_condition
from workflow_service.engine.graph import Node
from workflow_service.engine.paths import Path, Root
from workflow_service.engine.rehearsal.choice import Way, Ways
from workflow_service.engine.rehearsal.script import Script, Work
from workflow_service.engine.rehearsal.solver import MAX_TRIES, Candidate, Choice, candidates_of, solve
from workflow_service.engine.rehearsal.values import Values
from workflow_service.engine.routing import GateScope
from workflow_service.engine.states import ErrorType

# Of a condition: which results will do; None: it is not read.
Wanted = frozenset[bool] | None
TRUE, FALSE, EITHER = frozenset({True}), frozenset({False}), frozenset({True, False})
WAYS_TRIED = 6


class Steering:
    """Assumes values where that makes a condition readable, or leads where ``ways`` wants to go.

    ``trials_left`` is how many more conditions may be evaluated to find such values.
    """

    def __init__(
        self, values: Values, script: Script, ways: Ways, taken: Mapping[int, int], trials: int
    ) -> None:
        self._values = values
        self._script = script
        self._ways = ways
        self._taken = taken
        self.trials_left = trials

    def lead(self, node: Node, owner: str | None) -> None:
        """Assume what decides the way on from ``node``; ``owner`` is the block whose output its conditions see."""
        routing = node.routing
        if not routing.branches and not routing.set:
            return
        self._take_answers(node)
        ways = self._ways.order(node, self._taken)[:WAYS_TRIED] or [Way(None, ())]
        wanted = [_wanted(node, way) for way in ways]
        misses = [_misses(truths_of(node, self._values, owner), each) for each in wanted]
        if misses[0] == 0 or (0 in misses and not self._ways.insists):
            return
        expressions = [expression for _, expression in routing.set]
        expressions += [
            branch.expression
            for branch in routing.branches
            if branch.expression is not None and branch.question is None
        ]
        computed = {name for name, _ in routing.set}
        candidates = {
            path: values for path, values in candidates_of(expressions).items() if path.name not in computed
        }
        for branch in routing.branches:
            if branch.question is not None:
                candidates[Path(Root.QUESTION, branch.question)] = [True, False]

        for each, missed in zip(wanted, misses, strict=True):

            def judge(trial: Values, each: Sequence[Wanted] = each) -> int:
                return _misses(truths_of(node, trial, owner, each.count(None)), each)

            if missed == 0 or self._assume(candidates, owner, judge, len(each) - each.count(None)):
                return

    def guard_holds(self, node: Node) -> bool:
        """Evaluate the guard of ``node``; raises ``ExpressionError``."""
        guard = node.guard
        assert guard is not None  # noqa: S101 - the caller checked
        wanted = TRUE if self._ways.enters(node) else FALSE

        def judge(values: Values) -> int:
            return _misses([_truth(guard, values.scope())], [wanted])

        found = _truth(guard, self._values.scope())
        if found is None or (self._ways.insists and found not in wanted):
            self._assume(candidates_of([guard]), None, judge)
        return evaluate_condition(guard, self._values.scope())

    def make_readable(
        self, expressions: Iterable[Expression], scope_of: Callable[[Values], Scope], owner: str | None = None
    ) -> None:
        """Assume what the expressions read and is not there, where it may be assumed."""
        failing = [each for each in expressions if not _is_readable(each, scope_of(self._values))]
        if failing:
            self._assume(
                candidates_of(failing, conditions=False),
                owner,
                lambda trial: sum(not _is_readable(each, scope_of(trial)) for each in failing),
            )

    def ask(self, node: Node) -> Work:
        """Answer a question node: as was given, or so that it leads where it is wanted."""
        self.lead(node, node.id.removesuffix("?"))
        truths = truths_of(node, self._values, node.id.removesuffix("?"))
        chosen: list[int] = []
        results: list[tuple[str, bool]] = []
        for branch, holds in zip(node.routing.branches, truths, strict=True):
            source = branch.question or (branch.expression.source if branch.expression else "")
            if holds is None:
                error: JsonObject = {
                    "type": ErrorType.ROUTING_ERROR,
                    "message": f"the condition cannot be evaluated: {source}",
                }
                return Work(Verdict.FAILED, error=error, tries=1)
            results.append((source, holds))
            if holds:
                chosen += branch.edges
                if node.routing.mode == "exclusive":
                    break
        if not any(holds for _, holds in results):
            if node.routing.default is None and node.routing.mode == "exclusive":
                message = f"No branch of '{node.id.removesuffix('?')}' holds and it has no default"
                return Work(
                    Verdict.FAILED, error={"type": ErrorType.NO_BRANCH_MATCHED, "message": message}, tries=1
                )
            chosen += node.routing.default or ()
        return Work(Verdict.COMPLETED, chosen=tuple(chosen), conditions=tuple(results))

    def _take_answers(self, node: Node) -> None:
        for branch in node.routing.branches:
            if branch.question is not None:
                given = self._script.answer_to(branch.question)
                self._values.given_answers.discard(branch.question)
                self._values.answers.pop(branch.question, None)
                if given is not None:
                    self._values.answers[branch.question] = given
                    self._values.given_answers.add(branch.question)

    def _assume(
        self,
        candidates: Mapping[Path, Sequence[Candidate]],
        owner: str | None,
        judge: Callable[[Values], int],
        cost: int = 1,
    ) -> bool:
        """Assume values of ``candidates`` for which ``judge`` finds no miss; a trial costs ``cost`` evaluations."""
        for anew in (False, True) if self._ways.insists else (False,):
            free = {
                path: values
                for path, values in candidates.items()
                if values and self._values.is_free(path, owner, anew=anew)
            }
            begun = _begun_by_others(free)
            free = {path: values for path, values in free.items() if path not in begun}
            if not free or self.trials_left < cost:
                continue

            def misses(choice: Choice) -> int:
                self.trials_left -= cost
                trial = self._values.trial()
                trial.assume(choice, owner)
                return judge(trial)

            choice = solve(free, misses, tries=min(MAX_TRIES, self.trials_left // cost))
            if choice is not None:
                self._values.assume(choice, owner)
                return True
        return False


def truths_of(node: Node, values: Values, owner: str | None, unread: int = 0) -> list[bool | None]:
    """Return what each condition of ``node`` but the last ``unread`` comes to, None where it cannot be evaluated."""
    scope: Scope = values.scope(owner)
    computed: dict[str, JsonValue] = {}
    try:
        for name, expression in node.routing.set:
            computed[name] = expression.evaluate(GateScope(scope, computed))
    except ExpressionError:
        return [None] * (len(node.routing.branches) or 1)
    if computed:
        scope = GateScope(scope, computed)
    return [
        values.answers.get(branch.question or "", False)
        if branch.expression is None or branch.question is not None
        else _truth(branch.expression, scope)
        for branch in node.routing.branches[: len(node.routing.branches) - unread]
    ]


def _wanted(node: Node, way: Way) -> list[Wanted]:
    count = len(node.routing.branches)
    if not count:
        return [EITHER]
    if way.branch is None:
        return [FALSE] * count
    if node.routing.mode == "inclusive":
        return [TRUE if position == way.branch else EITHER for position in range(count)]
    return [*[FALSE] * way.branch, TRUE, *[None] * (count - way.branch - 1)]


def _misses(truths: Sequence[bool | None], wanted: Sequence[Wanted]) -> int:
    return sum(
        2 if truth is None else truth not in will_do
        for truth, will_do in zip(truths, wanted, strict=False)
        if will_do is not None
    )


def _truth(expression: Expression, scope: Scope) -> bool | None:
    try:
        return evaluate_condition(expression, scope)
    except ExpressionError:
        return None


def _is_readable(expression: Expression, scope: Scope) -> bool:
    try:
        expression.evaluate(scope)
    except ExpressionError:
        return False
    return True


def _begun_by_others(paths: Iterable[Path]) -> set[Path]:
    """Return the paths that longer ones begin with: a value for them is made of theirs."""
    return {
        Path(path.root, path.name, path.keys[:length]) for path in paths for length in range(len(path.keys))
    }

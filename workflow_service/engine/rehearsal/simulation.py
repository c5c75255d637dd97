"""One dry run under way: it keeps what settlements hand out, as the service does in its tables, and does no work.

The order is that in which blocks become ready, one after another. What is decided is decided by ``decide``,
``recovery`` and the compiled expressions alone.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import JsonValue

from workflow_service.engine import decide
from workflow_service.engine.decide import Arrivals, Place, Settlement, Verdict
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import Scope
from workflow_service.engine.findings import Finding
from workflow_service.engine.graph import END_NODE, Node, NodeKind
from workflow_service.engine.places import routing_places
from workflow_service.engine.plan import Plan
from workflow_service.engine.rehearsal.choice import Ways
from workflow_service.engine.rehearsal.live_loops import LiveLoops
from workflow_service.engine.rehearsal.problems import problem_of
from workflow_service.engine.rehearsal.script import NO_ERROR, Script, Work
from workflow_service.engine.rehearsal.steering import Steering
from workflow_service.engine.rehearsal.values import Keys, Values
from workflow_service.engine.rehearsal.work import Worker
from workflow_service.engine.routing import RoutingFailure
from workflow_service.engine.states import EdgeOutcome, ErrorType, ExecutionStatus

CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Step:
    """One node decided. ``took`` are the ids it leads on to, ``rounds`` those of the loops around it, outer first.

    ``worked``: a block that did its work, well or not. ``answer`` is a person's, ``items`` how many a map had.
    """

    block_id: str
    kind: NodeKind
    verdict: str
    took: tuple[str, ...] = ()
    rounds: tuple[int, ...] = ()
    worked: bool = False
    tries: int = 0
    output: JsonValue = None
    error: JsonObject | None = None
    conditions: tuple[tuple[str, bool], ...] = ()
    answer: bool | None = None
    items: int | None = None


class Simulation:
    """Walks a plan once; used once."""

    def __init__(
        self,
        plan: Plan,
        run_input: JsonObject | None,
        outputs: Mapping[str, JsonValue | Sequence[JsonValue]],
        answers: Mapping[str, JsonValue | Sequence[JsonValue]],
        writes: Mapping[str, Keys],
        ways: Ways,
        max_steps: int,
        trials: int,
    ) -> None:
        self.plan = plan
        mapped = {
            node.id: frozenset(name for name, _ in node.output_mapping)
            for node in plan.nodes
            if node.output_mapping
        }
        self.values = Values(
            {} if run_input is None else run_input, run_input is None, writes=writes, mapped=mapped
        )
        self.steps: list[Step] = []
        self.problems: list[Finding] = []
        self.taken: Counter[int] = Counter()
        self.dead: set[int] = set()
        self.lost: set[int] = set()
        self.error: JsonObject | None = None
        self.undone: list[str] = []
        self._script = Script(outputs, answers)
        self._steering = Steering(self.values, self._script, ways, self.taken, trials)
        self._worker = Worker(plan, self.values, self._script, self._steering, ways, self.taken)
        self._max_steps = max_steps
        self._loops = LiveLoops()
        self._arrivals: dict[int, tuple[Place, Arrivals]] = {}
        self._ready: deque[int] = deque()
        self._guarded: deque[tuple[int, Work]] = deque()
        self._unhandled = 0
        self._failing = False
        self._reached_end = False

    def walk(self) -> bool:
        """Walk to the end; False where that takes more steps than allowed."""
        self._apply(decide.begin(self.plan), None)
        self._settle_guarded()
        while self._ready:
            if len(self.steps) >= self._max_steps:
                self.error = {"type": "TOO_MANY_STEPS", "message": f"given up after {len(self.steps)} steps"}
                return False
            index = self._ready.popleft()
            node = self.plan.nodes[index]
            work = self._steering.ask(node) if node.kind is NodeKind.DECIDE else self._worker.work_on(node)
            self._settle(index, work)
            self._settle_guarded()
        return True

    @property
    def trials_left(self) -> int:
        """How many conditions may still be evaluated to find values."""
        return self._steering.trials_left

    def outcome(self) -> ExecutionStatus:
        """Return how the run ends that was walked."""
        status, error = decide.outcome(
            self.plan, unhandled_failures=self._unhandled > 0, reached_end=self._reached_end
        )
        if error is not None:
            self.error = self.error or {"type": error.value, "message": "no edge to end was taken"}
        return status

    # Settling

    def _settle(self, index: int, work: Work) -> None:
        node = self.plan.nodes[index]
        if node.kind is NodeKind.BLOCK and work.verdict is Verdict.COMPLETED:
            work = self._merged(node, work)
        failed_gates: dict[int, JsonObject] = {}
        while True:
            settlement = decide.settle(
                self.plan,
                index,
                work.verdict,
                scope_of=lambda read: self._scope_of(index, read),
                arrivals_of=self._arrivals_of,
                loops=self._loops.states,
                chosen=work.chosen,
                failed_gates=frozenset(failed_gates),
            )
            failure = settlement.routing_failure
            if failure is None:
                break
            failed = settlement.routing_failed_node
            assert failed is not None  # noqa: S101 - it comes with the failure
            error = self._routing_error(self.plan.nodes[failed], failure, self._scope_of(index, failed))
            if failed == index:
                work = replace(work, verdict=Verdict.FAILED, error=error)
            else:
                failed_gates[failed] = error
        if work.problem is not None:
            self.problems.append(work.problem)
        if work.compensates:
            self._compensate()
        if work.verdict in decide.FAILING and not settlement.handled:
            self._fail(index, work.error or NO_ERROR)
        for gate, error in failed_gates.items():
            self._fail(gate, error)
        self._apply(settlement, work, failed_gates)

    def _merged(self, node: Node, work: Work) -> Work:
        """Put an output into outputs and context; the work fails where its mapping cannot be read."""
        values, output = self.values, work.output
        values.put_output(node.id, output, is_open=work.is_open)
        merged: dict[str, JsonValue] = output if isinstance(output, dict) else {}
        if not node.output_mapping:
            values.merge(node.id, merged, is_open=work.is_open)
            return work
        scope = values.scope(own={**merged, "output": output})
        for name, expression in node.output_mapping:
            try:
                values.merge(node.id, {name: expression.evaluate(scope)}, is_open=work.is_open)
            except ExpressionError as error:
                if work.is_open:
                    continue  # what nobody has given may be there: it is assumed when it is read
                message = f"outputMapping: {error.message}"
                problem = problem_of(error, f"{node.pointer}/outputMapping/{name}", node.id)
                described: JsonObject = {"type": ErrorType.ROUTING_ERROR, "message": message}
                return replace(work, verdict=Verdict.FAILED, error=described, problem=problem)
        return work

    def _apply(
        self,
        settlement: Settlement,
        finished: Work | None,
        gate_errors: Mapping[int, JsonObject] | None = None,
    ) -> None:
        names = self._loops.take_over(settlement)
        for position, settled in enumerate(settlement.settled):
            work = finished if position == 0 else None
            error = (gate_errors or {}).get(settled.node)
            if settled.computed:
                self.values.merge(self.plan.nodes[settled.node].id, settled.computed, is_open=False)
            for edge, result in settled.outcomes.items():
                self._note(edge, result)
            took = tuple(
                self._target(edge) for edge, one in settled.outcomes.items() if one is EdgeOutcome.TAKEN
            )
            rounds = self._loops.rounds(
                replace(settled.place, scope=names.get(settled.place.scope, settled.place.scope))
            )
            node = self.plan.nodes[settled.node]
            conditions = settled.conditions or (work.conditions if work else ())
            step = Step(
                node.id, node.kind, settled.verdict.value, took, rounds, conditions=conditions, error=error
            )
            if work is not None:
                step = replace(
                    step,
                    worked=work.tries > 0,
                    tries=work.tries,
                    output=self.values.outputs.get(node.id) if work.tries else None,
                    error=work.error,
                    answer=work.answer,
                    items=work.items,
                )
            self.steps.append(step)
        for index, arrivals in settlement.arrivals.items():
            place = self._loops.place(self.plan.nodes[index].loop)
            if place is not None:
                self._arrivals[index] = place, arrivals
        self._reached_end |= settlement.reached_end
        for limit in settlement.limits:
            message = f"the loop has run {limit.rounds} rounds and leads back once more"
            self._fail(limit.node, {"type": ErrorType.LOOP_LIMIT_REACHED, "message": message})
        for index in settlement.ready:
            self._make_ready(index)

    def _note(self, edge: int, result: EdgeOutcome) -> None:
        if result is EdgeOutcome.TAKEN:
            self.taken[edge] += 1
        else:
            (self.dead if result is EdgeOutcome.DEAD else self.lost).add(edge)

    def _target(self, edge: int) -> str:
        target = self.plan.edges[edge].target
        return "end" if target == END_NODE else self.plan.nodes[target].id

    def _fail(self, index: int, error: JsonObject) -> None:
        node = self.plan.nodes[index]
        self._unhandled += 1
        self.error = self.error or {**error, "blockId": node.id.removesuffix("?")}
        policy = node.block.on_failure if node.block else None
        self._failing |= (policy or self.plan.definition.global_settings.on_failure) == "fail"

    def _compensate(self) -> None:
        self._failing = True
        done = [step.block_id for step in self.steps if step.verdict == Verdict.COMPLETED and step.worked]
        undoable = {node.id for node in self.plan.nodes if node.undo is not None}
        self.undone = [block_id for block_id in reversed(done) if block_id in undoable]

    # Starting

    def _make_ready(self, index: int) -> None:
        node = self.plan.nodes[index]
        if self._failing:
            self._cancel(node)
            return
        work = self._guard(node)
        if work is None:
            self._ready.append(index)
        else:
            self._guarded.append((index, work))

    def _guard(self, node: Node) -> Work | None:
        """Return how the guard decides the node without work, None where it lets it begin."""
        if node.guard is None:
            return None
        try:
            holds = self._steering.guard_holds(node)
        except ExpressionError as error:
            described: JsonObject = {"type": ErrorType.ROUTING_ERROR, "message": error.message}
            problem = problem_of(error, f"{node.pointer}/conditions/expression", node.id)
            return Work(Verdict.FAILED, error=described, problem=problem)
        return None if holds else Work(Verdict.SKIPPED, conditions=((node.guard.source, False),))

    def _settle_guarded(self) -> None:
        while self._guarded:
            self._settle(*self._guarded.popleft())
        if self._failing:
            while self._ready:
                self._cancel(self.plan.nodes[self._ready.popleft()])

    def _cancel(self, node: Node) -> None:
        place = self._loops.place(node.loop)
        self.steps.append(
            Step(node.id, node.kind, CANCELLED, rounds=self._loops.rounds(place) if place else ())
        )

    # What decide asks for

    def _scope_of(self, finished: int, index: int) -> Scope:
        node = self.plan.nodes[index]
        owner = node.id if index == finished and node.kind is NodeKind.BLOCK else None
        self._steering.lead(node, owner)
        return self.values.scope(owner)

    def _arrivals_of(self, nodes: frozenset[int]) -> Mapping[int, Arrivals]:
        found = {}
        for index in nodes & self._arrivals.keys():
            place, arrivals = self._arrivals[index]
            if place == self._loops.place(self.plan.nodes[index].loop):
                found[index] = arrivals
        return found

    def _routing_error(self, node: Node, failure: RoutingFailure, scope: Scope) -> JsonObject:
        pointer, cause = node.pointer, ExpressionError(failure.message)
        if failure.error_type is ErrorType.ROUTING_ERROR:
            for place, expression in routing_places(self.plan.definition, node):
                if expression.source == failure.details.get("condition"):
                    pointer = place
                    try:
                        expression.evaluate(scope)
                    except ExpressionError as error:
                        cause = error
                    break
            self.problems.append(problem_of(cause, pointer, node.id))
        else:
            suggestion = f"Add a default branch ({node.id.removesuffix('?')}->...:else)"
            self.problems.append(
                Finding(
                    failure.error_type,
                    failure.message,
                    pointer,
                    suggestion,
                    blocks=(node.id.removesuffix("?"),),
                )
            )
        return {"type": failure.error_type, "message": failure.message, "details": failure.details}

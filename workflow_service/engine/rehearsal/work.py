"""What stands in for the work of blocks in a dry run: given outcomes, people's answers, and the recovery ladder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from workflow_service.engine.approval import (
    is_reviewed,
    reads_approved,
    rejected_output,
    reviewed_output,
    to_review,
)
from workflow_service.engine.decide import Verdict
from workflow_service.engine.definition import Block, JsonObject
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.findings import Finding
from workflow_service.engine.graph import Node
from workflow_service.engine.interpolation import Template, expressions_in
from workflow_service.engine.paths import Root, reads_of, template_reads
from workflow_service.engine.plan import Plan
from workflow_service.engine.recovery import (
    Failure,
    PastAction,
    RecoveryPolicy,
    decide_recovery,
    history_of,
    policy_of,
)
from workflow_service.engine.rehearsal.choice import Ways
from workflow_service.engine.rehearsal.problems import problem_of
from workflow_service.engine.rehearsal.script import Reply, Script, Work, failure_in, read_reply
from workflow_service.engine.rehearsal.steering import Steering
from workflow_service.engine.rehearsal.values import Values, with_value
from workflow_service.engine.states import ErrorType, ToolType
from workflow_service.engine.states import RecoveryStrategy as S

MAX_RETRIES = 3
DRY_RUN = "dry-run"
MAX_TRIES = 200
RENDERED_ITEMS = 20
SAMPLE_ITEMS = 2
_TRIED_TOO_OFTEN: JsonObject = {
    "type": ErrorType.SYSTEM_ERROR,
    "message": f"given up after {MAX_TRIES} tries",
}
GOES_ON = frozenset({S.RETRY, S.QUEUE, S.REASSIGN, S.FALLBACK})


@dataclass(frozen=True, slots=True)
class _Rendered:
    """A configuration with its values, or why it has none."""

    value: JsonValue = None
    problem: Finding | None = None


class Worker:
    """Says how the work of a block ends, as if an agent had done it."""

    def __init__(
        self,
        plan: Plan,
        values: Values,
        script: Script,
        steering: Steering,
        ways: Ways,
        taken: Mapping[int, int],
    ) -> None:
        self._plan = plan
        self._values = values
        self._script = script
        self._steering = steering
        self._ways = ways
        self._taken = taken
        self._undoes = any(node.undo is not None for node in plan.nodes)

    def work_on(self, node: Node) -> Work:
        """Do the work of a block in name only."""
        block = node.block
        assert block is not None  # noqa: S101 - only blocks work
        self._values.begin_block(node.id)
        if block.for_each is not None:
            return self._work_on_map(node, block)
        rendered = self._render(node, node.template, block.configuration, "configuration")
        if rendered.problem is not None:
            return self._misconfigured(rendered.problem)
        if is_reviewed(block, self._plan.definition.global_settings.human_in_loop_defaults):
            return self._review(node, block, rendered.value)
        if block.asks_people:
            return self._ask(node, block, rendered.value)
        return self._try(node, block, rendered.value)

    # People

    def _ask(self, node: Node, block: Block, configuration: JsonValue) -> Work:
        reply = self._script.reply(node.id)
        if reply is None and not block.has_tool and self._script.has_output(node.id):
            reply = read_reply(self._script.output(node.id))
        is_open = reply is None
        if reply is None:
            reply = Reply(not self._ways.fails(node, self._taken), {})
        form: JsonObject = {
            **reply.response,
            "approved": reply.approved,
            "comments": "",
            "approver": DRY_RUN,
        }
        if not reply.approved and not reads_approved(self._plan, node.index):
            error: JsonObject = {"type": ErrorType.APPROVAL_REJECTED, "message": "rejected"}
            return Work(Verdict.REJECTED, error=error, tries=1, answer=False)
        if not reply.approved or not block.has_tool:
            return Work(Verdict.COMPLETED, form, is_open, tries=1, answer=reply.approved)
        work = self._try(node, block, configuration)
        output = {**form, **work.output} if isinstance(work.output, dict) else work.output
        return Work(work.verdict, output, work.is_open, work.error, work.tries, answer=True)

    def _review(self, node: Node, block: Block, configuration: JsonValue) -> Work:
        """Do the work, and have people look at what it made."""
        reply = self._script.reply(node.id)
        if block.has_tool:
            # Where the way of a failure is wanted it is the people's: the work is done, then.
            made = self._try(node, block, configuration, may_fail=False)
        else:
            given = self._script.has_output(node.id)
            made_up = self._script.output(node.id) if given else to_review(configuration)
            made = Work(Verdict.COMPLETED, made_up, not given and made_up == {}, tries=1)
        if made.verdict is not Verdict.COMPLETED:
            return made
        reply = reply or Reply(not self._ways.fails(node, self._taken), {})
        if reply.approved:
            output = reviewed_output(made.output, reply.response, comments="", approver=DRY_RUN)
            is_open = made.is_open and "output" not in reply.response
            return Work(Verdict.COMPLETED, output, is_open, tries=made.tries, answer=True)
        if not reads_approved(self._plan, node.index):
            error: JsonObject = {"type": ErrorType.APPROVAL_REJECTED, "message": "rejected"}
            return Work(Verdict.REJECTED, error=error, tries=made.tries, answer=False)
        output = rejected_output(made.output, comments="", approver=DRY_RUN)
        return Work(Verdict.COMPLETED, output, tries=made.tries, answer=False)

    # Tools

    def _try(self, node: Node, block: Block, configuration: JsonValue, *, may_fail: bool = True) -> Work:
        """Try as often as the block's policy says; unless it ``may_fail`` it fails only where that was given."""
        policy = self._policy(node, block)
        assumed = may_fail and not self._script.has_output(node.id)
        fails = assumed and self._ways.fails(node, self._taken)
        actions: list[PastAction] = []
        for tries in range(1, MAX_TRIES + 1):
            given = self._script.has_output(node.id)
            value = self._script.output(node.id) if given else self._made_up(block, configuration)
            failure = failure_in(value, node.id) if given else None
            if fails:
                failure = Failure(ErrorType.SYSTEM_ERROR, "assumed to fail", False)
            if failure is None:
                is_open = not given and block.tool_type is not ToolType.NOOP
                return Work(Verdict.COMPLETED, value, is_open, tries=tries)
            step = decide_recovery(policy, failure, history_of(actions, block.agent_id or ""), jitter=0.0)
            if step.strategy is S.SKIP:
                return Work(Verdict.COMPLETED, dict(block.default_output or {}), tries=tries)
            asked = step.strategy is S.ESCALATE and self._script.has_more(node.id)
            if step.strategy in GOES_ON or asked:
                actions.append(PastAction(step.strategy, step.agent_id))
                continue
            return Work(
                Verdict.FAILED,
                error=_described(failure),
                tries=tries,
                compensates=step.strategy is S.COMPENSATE,
            )
        return Work(Verdict.FAILED, error=_TRIED_TOO_OFTEN, tries=MAX_TRIES)

    def _policy(self, node: Node, block: Block) -> RecoveryPolicy:
        return policy_of(
            block,
            self._plan.definition.global_settings,
            max_retries=MAX_RETRIES,
            has_error_edge=bool(node.error_edges),
            undoes=self._undoes,
        )

    def _made_up(self, block: Block, configuration: JsonValue) -> JsonValue:
        """Return what a block gives that nobody gave an output for: the rest is assumed when it is read."""
        given: dict[str, Any] = configuration if isinstance(configuration, dict) else {}
        match block.tool_type:
            case ToolType.NOOP:
                output: JsonValue = given.get("output", {})
                return output
            case ToolType.WAIT if "signal" in given:
                return {"signal": given["signal"], "payload": None, "timedOut": False}
            case ToolType.WAIT:
                return {"firedAt": None}
        return {}

    # Maps

    def _work_on_map(self, node: Node, block: Block) -> Work:
        items = self._items(node, block)
        if isinstance(items, Finding):
            return self._misconfigured(items)
        for index, item in enumerate(items[:RENDERED_ITEMS]):
            own = {"item": item, "index": index}
            rendered = self._render(node, node.template, block.configuration, "configuration", own)
            if rendered.problem is not None:
                return self._misconfigured(rendered.problem)
        given = self._script.has_output(node.id)
        outcomes = self._script.item_outcomes(node.id, len(items)) if given else [{} for _ in items]
        failures = [failure_in(value, node.id) for value in outcomes]
        if not given and self._ways.fails(node, self._taken):
            failures = [Failure(ErrorType.SYSTEM_ERROR, "assumed to fail", False) for _ in items]
        return self._collected(block, outcomes, failures, is_open=not given)

    def _collected(
        self,
        block: Block,
        outcomes: Sequence[JsonValue],
        failures: Sequence[Failure | None],
        *,
        is_open: bool,
    ) -> Work:
        count = len(outcomes)
        failed = sum(failure is not None for failure in failures)
        errors: list[JsonValue] = [
            {"index": index, "type": failure.error_type, "message": failure.message}
            for index, failure in enumerate(failures)
            if failure is not None
        ]
        results: list[JsonValue] = [
            value if failure is None else None for value, failure in zip(outcomes, failures, strict=True)
        ]
        output: JsonObject = {
            "results": results, "succeeded": count - failed, "failed": failed, "errors": errors,
        }  # fmt: skip
        tolerated = int(count * block.tolerated_failure_percentage / 100)
        if failed > tolerated:
            message = f"{failed} of the {count} items failed, {tolerated} may"
            error: JsonObject = {"type": ErrorType.MAP_FAILED, "message": message}
            return Work(Verdict.FAILED, error=error, tries=1, items=count)
        return Work(Verdict.COMPLETED, output, is_open, tries=1, items=count)

    def _items(self, node: Node, block: Block) -> list[JsonValue] | Finding:
        """Return the items of a map; some are assumed where nobody has given the list."""
        self._assume_items(node, block)
        rendered = self._render(node, node.for_each, node.for_each.value if node.for_each else "", "forEach")
        if rendered.problem is not None:
            return rendered.problem
        if not isinstance(rendered.value, list):
            message = f"forEach must give a list, and gives {str(rendered.value)[:60]!r}"
            return Finding("CANNOT_EVALUATE", message, f"{node.pointer}/forEach", blocks=(node.id,))
        return rendered.value

    def _assume_items(self, node: Node, block: Block) -> None:
        source = node.for_each.value if node.for_each is not None else None
        reads = [read for _, one in expressions_in(source) for read in reads_of(one)]
        if len(reads) == 1 and self._values.is_free(reads[0].path, None, anew=False):
            sample = _sample_item(block.configuration)
            self._values.assume({reads[0].path: [sample] * SAMPLE_ITEMS}, None)

    # Configurations

    def _render(
        self,
        node: Node,
        template: Template | None,
        source: JsonValue,
        field: str,
        own: Mapping[str, JsonValue] | None = None,
    ) -> _Rendered:
        if template is None:
            return _Rendered({})
        try:
            return _Rendered(template.render(self._values.scope(own=own)))
        except ExpressionError:
            expressions = [expression for _, expression in expressions_in(source)]
            self._steering.make_readable(expressions, lambda values: values.scope(own=own))
        try:
            return _Rendered(template.render(self._values.scope(own=own)))
        except ExpressionError as error:
            return _Rendered(problem=problem_of(error, f"{node.pointer}/{field}", node.id))

    def _misconfigured(self, problem: Finding) -> Work:
        error: JsonObject = {
            "type": ErrorType.CONFIGURATION_ERROR,
            "message": f"configuration: {problem.message}",
        }
        return Work(Verdict.FAILED, error=error, tries=1, problem=problem)


def _sample_item(configuration: JsonValue) -> JsonValue:
    """Return an item that has what a map's configuration reads of it."""
    sample: JsonValue = None
    for _, read in template_reads(configuration):
        if read.path.root is Root.NAME and read.path.name == "item" and read.path.keys:
            sample = with_value(sample, read.path.keys, str(read.path.keys[-1]))
    return "item" if sample is None else sample


def _described(failure: Failure) -> JsonObject:
    return {"type": failure.error_type, "message": failure.message}

"""What blocks, people and the language model do in a dry run, as far as somebody said it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from workflow_service.engine.decide import Verdict
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import Problem, WorkflowError
from workflow_service.engine.findings import Finding, nearest_name_hint
from workflow_service.engine.json_values import json_pointer
from workflow_service.engine.plan import Plan
from workflow_service.engine.recovery import Failure, classify
from workflow_service.engine.states import ErrorClass, ErrorType

ERROR_KEY = "$error"
APPROVALS: Mapping[str, bool] = {
    "approve": True, "approved": True, "yes": True, "reject": False, "rejected": False, "no": False,
}  # fmt: skip
PASSES = frozenset({ErrorClass.TRANSIENT, ErrorClass.AGENT_UNAVAILABLE})
NO_REPLY = "is 'approve', 'reject', true, false, or an object with 'approved'"
NO_ERROR: JsonObject = {"type": ErrorType.SYSTEM_ERROR, "message": "failed"}

Given = Mapping[str, JsonValue | Sequence[JsonValue]]


class DryRunInvalid(WorkflowError):
    """What a dry run was given cannot be understood; each problem names its place."""

    code = "DRY_RUN_INVALID"


@dataclass(frozen=True, slots=True)
class Work:
    """How a node's work ended. ``is_open``: more may be assumed of its output. ``chosen`` are a question's edges."""

    verdict: Verdict
    output: JsonValue = None
    is_open: bool = False
    error: JsonObject | None = None
    tries: int = 0
    answer: bool | None = None
    items: int | None = None
    chosen: tuple[int, ...] | None = None
    conditions: tuple[tuple[str, bool], ...] = ()
    problem: Finding | None = None
    compensates: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A person's answer: yes or no, and the form that was filled in."""

    approved: bool
    response: JsonObject


def refuse_unusable(plan: Plan, outputs: Given, answers: Given) -> None:
    """Raise ``DryRunInvalid`` where something is given for what the plan does not have, or no person could say it.

    It would never be used, and the run would go another way than whoever gave it meant.
    """
    blocks = {node.id for node in plan.nodes if node.block is not None}
    asked = {branch.question for node in plan.nodes for branch in node.routing.branches if branch.question}
    for kind, given, known, meant in (
        ("outputs", outputs, blocks, "block"),
        ("answers", answers, blocks | asked, "block or question"),
    ):
        for name in given:
            if name not in known:
                raise _invalid(
                    name, f"there is no such {meant}", kind, nearest_name_hint(name, sorted(known))
                )
    for name in answers.keys() - asked:
        if any(read_reply(value) is None for value in _values(answers, name)):
            raise _not_a_reply(plan, name)


class Script:
    """Hands out given values one after another; the last of a list holds on."""

    def __init__(self, outputs: Given, answers: Given) -> None:
        self._outputs = outputs
        self._answers = answers
        self._used: Counter[tuple[str, str]] = Counter()

    def has_output(self, block_id: str) -> bool:
        return block_id in self._outputs

    def has_more(self, block_id: str) -> bool:
        """Tell whether a block's next value is another than its last one."""
        given = self._outputs.get(block_id)
        return isinstance(given, list | tuple) and self._used["output", block_id] < len(given)

    def output(self, block_id: str) -> JsonValue:
        """Return the next given outcome of a block."""
        return self._next("output", self._outputs, block_id)

    def item_outcomes(self, block_id: str, count: int) -> list[JsonValue]:
        """Return what each item of a map gives."""
        given = self._outputs[block_id]
        if not isinstance(given, list | tuple):
            outcome: JsonValue = given  # type: ignore[assignment] # a Sequence that is no list or tuple is a text
            return [outcome] * count
        last: JsonValue = given[-1] if given else {}
        return [given[index] if index < len(given) else last for index in range(count)]

    def reply(self, block_id: str) -> Reply | None:
        """Return a person's next answer about a block, None where none was given; raises ``DryRunInvalid``."""
        if block_id not in self._answers:
            return None
        value = self._next("answer", self._answers, block_id)
        reply = read_reply(value)
        if reply is None:
            raise _invalid(block_id, NO_REPLY)
        return reply

    def answer_to(self, question: str) -> bool | None:
        """Return the language model's next answer, None where none was given; raises ``DryRunInvalid``."""
        if question not in self._answers:
            return None
        value = self._next("answer", self._answers, question)
        if not isinstance(value, bool):
            raise _invalid(question, "the answer to a question is true or false")
        return value

    def _next(self, kind: str, given: Given, name: str) -> JsonValue:
        values = given[name]
        used = self._used[kind, name]
        self._used[kind, name] += 1
        if isinstance(values, list | tuple):
            return values[min(used, len(values) - 1)] if values else {}
        return values  # type: ignore[return-value] # a Sequence that is no list or tuple is a text


def _values(given: Given, name: str) -> Sequence[JsonValue]:
    """Return all that is given for a name, one after another."""
    values = given[name]
    return values if isinstance(values, list | tuple) else [values]  # type: ignore[list-item] # else a text


def read_reply(value: JsonValue) -> Reply | None:
    """Return what a given answer means, None where it is none."""
    if isinstance(value, bool):
        return Reply(value, {})
    if isinstance(value, str) and value.lower() in APPROVALS:
        return Reply(APPROVALS[value.lower()], {})
    if isinstance(value, dict):
        approved = value.get("approved", True)
        if isinstance(approved, bool):
            form = value.get("response")
            rest = (
                form
                if isinstance(form, dict)
                else {key: one for key, one in value.items() if key != "approved"}
            )
            return Reply(approved, rest)
    return None


def failure_in(value: JsonValue, block_id: str) -> Failure | None:
    """Return the failure that a given outcome stands for, None where it is an output; raises ``DryRunInvalid``."""
    if not isinstance(value, dict) or ERROR_KEY not in value:
        return None
    name = value[ERROR_KEY]
    try:
        error_type = ErrorType(str(name))
    except ValueError:
        known = ", ".join(ErrorType)
        raise _invalid(block_id, f"'{name}' is no error type; the types are {known}", "outputs") from None
    retryable = value.get("retryable", classify(error_type) in PASSES)
    message = str(value.get("message", f"{error_type} as given"))
    return Failure(error_type, message, retryable is True)


def _not_a_reply(plan: Plan, name: str) -> DryRunInvalid:
    """Say what people's answers are, and where the block's ways are questions how to choose one of them."""
    questions = [
        f"'{branch.question}'"
        for node in plan.nodes
        if node.id.removesuffix("?") == name
        for branch in node.routing.branches
        if branch.question
    ]
    mend = f"the way on is chosen by question: give true for {' or '.join(questions)}" if questions else ""
    return _invalid(name, NO_REPLY, suggestion=mend)


def _invalid(name: str, message: str, kind: str = "answers", suggestion: str = "") -> DryRunInvalid:
    problem = Problem("DRY_RUN_INVALID", message, json_pointer(kind, name), suggestion)
    return DryRunInvalid(f"{kind} of '{name}': {message}", [problem])

"""What would make a generated workflow better: what its words left open, in sentences for their author."""

from collections.abc import Iterator

from workflow_service.ai.english.verbs import base_of
from workflow_service.ai.english.word_lists import words
from workflow_service.ai.generation.flow import Flow, Step, StepKind
from workflow_service.engine.definition import END, Definition
from workflow_service.engine.states import HumanStepType, ToolType

MAX_IMPROVEMENTS = 6
_CHECKS = words("check validate verify test scan inspect review")
_OUTSIDE = words("call charge deploy download email fetch load notify pay publish pull push send ship upload")
_TELLS = words("alert email inform message notify send tell")


def suggest_improvements(flow: Flow, definition: Definition) -> list[str]:
    """Return at most six suggestions, the weightiest first."""
    found = [
        *_open_checks(flow),
        *_open_approvals(flow),
        *_unhandled_failures(flow),
        *_work_of_people(definition),
        *_silent_ends(flow),
        *_unused_parallelism(flow),
    ]
    return list(dict.fromkeys(found))[:MAX_IMPROVEMENTS]


def _verb(step: Step) -> str:
    return base_of(step.id.partition("_")[0]) or ""


def _words(step: Step) -> str:
    return f"'{step.id}'"


def _open_checks(flow: Flow) -> Iterator[str]:
    for step in flow.steps:
        conditional = any(not way.is_plain for way in flow.ways_from(step.id))
        joint = any(step.id in way.sources and len(way.sources) > 1 for way in flow.ways)
        if _verb(step) in _CHECKS and step.kind is StepKind.WORK and not conditional and not joint:
            yield f"Say what happens when {_words(step)} finds something wrong; so far the run goes on all the same"


def _open_approvals(flow: Flow) -> Iterator[str]:
    for step in flow.steps:
        ways = flow.ways_from(step.id)
        if step.kind is StepKind.APPROVAL and not any(
            way.condition and "approved" in way.condition for way in ways
        ):
            yield f"Say what happens when {_words(step)} is refused; so far the run fails then"


def _unhandled_failures(flow: Flow) -> Iterator[str]:
    if any(way.on_error for way in flow.ways):
        return
    risky = [step for step in flow.steps if _verb(step) in _OUTSIDE and step.kind is StepKind.WORK]
    if risky:
        yield f"Say what happens when {_words(risky[0])} fails, for example whom to tell"


def _work_of_people(definition: Definition) -> Iterator[str]:
    asked = [
        block.block_id
        for block in definition.blocks
        if block.tool_type is ToolType.HUMAN and block.human_in_loop.type is HumanStepType.INPUT
    ]
    if asked:
        shown = ", ".join(f"'{name}'" for name in asked[:3]) + (" and more" if len(asked) > 3 else "")
        yield f"Register an agent that can do {shown}: so far a person is asked to"


def _silent_ends(flow: Flow) -> Iterator[str]:
    if len(flow.steps) > 2 and not any(_verb(step) in _TELLS for step in flow.steps):
        yield "Add a step that tells those concerned when the work is done"


def _unused_parallelism(flow: Flow) -> Iterator[str]:
    for first in flow.steps:
        ways = [way for way in flow.ways if first.id in way.sources]
        if len(ways) != 1 or not ways[0].is_plain or len(ways[0].sources) > 1 or ways[0].target == END:
            continue
        second = flow.step(ways[0].target)
        if _verb(first) in _TELLS and _verb(second) in _TELLS and len(flow.ways_to(second.id)) == 1:
            yield f"Consider running {_words(first)} and {_words(second)} in parallel: neither needs the other"
            return

"""What a person may change of a block that they have tried again.

The values that the work is done with, yes; where it goes, who does it and with which rights, no: an approver must not
have the service call another address with the workspace's secrets, or run other code. Those settings take the right to
edit the template. What comes out is checked as a template is when it is saved. Nothing that is not known to be harmless
is allowed.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from pydantic import JsonValue

from approvals_app.errors import ResponseInvalid
from approvals_app.models import Approval
from executions_app.models import BlockExecution
from executions_app.recovering import mended_input
from templates_app.plans import compiled_version
from templates_app.sharing import may
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action
from workflow_service.agents.assignment import tool_of
from workflow_service.agents.catalog import find_agent
from workflow_service.agents.configuration import MODELS, configuration_errors, field_names
from workflow_service.agents.use_cases import FROM_SECRET, LITERAL, REGISTRY
from workflow_service.engine.definition import Block, JsonObject
from workflow_service.engine.errors import Problem
from workflow_service.engine.json_values import json_pointer
from workflow_service.engine.states import HumanStepType, ToolType

SECRET = re.compile(r"\$\{\s*secrets\b")
# In the JSON of a field: an address, or what is called like one. A host is a plain word where it has no scheme.
ADDRESS = re.compile(r'://|"//|(?i:url|uri|host|hostname|endpoint|proxy|dsn)":')
EDITORS_ONLY = "EDITORS_ONLY"
# Of each tool the settings that say how its work is done. Keys that a tool does not know are its input.
_HARMLESS: Mapping[ToolType, frozenset[str]] = {
    ToolType.API: frozenset({"input", "query", "body", "expectedStatus", "responseMapping", "timeout"}),
    ToolType.USE_CASE: frozenset({"input"}),
    ToolType.SCRIPT: frozenset({"input"}),
    ToolType.MCP: frozenset({"input", "arguments"}),
    ToolType.NOOP: frozenset({"output"}),
    ToolType.LLM: frozenset({"input", "prompt", "system", "temperature", "maxTokens"}),
    ToolType.WAIT: frozenset({"duration", "until", "timeout"}),
    ToolType.SUBWORKFLOW: frozenset({"input"}),
}
_CALLS_WHAT_IT_IS_GIVEN = frozenset({ToolType.USE_CASE, ToolType.SCRIPT, ToolType.MCP})
_INPUTS = ("input", "arguments")
# Nobody's value: it changes a setting, and each field of one.
_CHANGED: JsonObject = {"": None}


def check_mending(approval: Approval, response: JsonObject | None, actor: User) -> None:
    """Raise ``ResponseInvalid``, naming each place, where ``actor`` may not have a block tried again like that."""
    if approval.type != HumanStepType.INTERVENTION or not response or response.get("action") != "retry":
        return
    asked = approval.response_schema or {}
    fields = asked.get("properties")
    if not isinstance(fields, dict) or "configuration" not in fields:
        # The work is done, and values of the run's context are all that can be given; or nothing can.
        return
    given: JsonObject = approval.input if isinstance(approval.input, dict) else {}
    mended = mended_input(given, response)
    if mended is None or mended == given:
        return
    row, tool = _work_of(approval)
    problems = list(_misplaced_secrets(response, given))
    if not may(actor, approval.execution.template, Action.TEMPLATE_UPDATE):
        problems += _forbidden(tool, given, mended, response)
    if not problems and tool is not None and not row.agent_id:
        # An agent has defaults of its own beneath these: with it they are checked where the work begins.
        found = configuration_errors(tool, mended, workspace_id=approval.workspace.public_id)
        problems += [_placed(problem, response) for problem in found]
    if problems:
        raise ResponseInvalid(problems)


def open_to(approval: Approval, actor: User) -> JsonValue:
    """Return what ``approval`` shows of its block without the settings that ``actor`` may not change."""
    given: JsonValue = approval.input
    if (
        approval.type != HumanStepType.INTERVENTION
        or not isinstance(given, dict)
        or may(actor, approval.execution.template, Action.TEMPLATE_UPDATE)
    ):
        return given
    _, tool = _work_of(approval)
    # What would be refused if every setting, and every field of one, were another.
    closed = {
        problem.pointer for key in given for problem in _forbidden(tool, given, {**given, key: _CHANGED}, {})
    }
    found = {key: value for key, value in given.items() if json_pointer("configuration", key) not in closed}
    for name in _INPUTS:
        if isinstance(inner := found.get(name), dict):
            kept = (key for key in inner if json_pointer("configuration", name, key) not in closed)
            found[name] = {key: inner[key] for key in kept}
    return found


def _work_of(approval: Approval) -> tuple[BlockExecution, ToolType | None]:
    """Return the row that an intervention is about, and the type of the tool that does its work."""
    row = BlockExecution.objects.only("node", "agent_id", "stand_in").get(pk=approval.block_execution_id)
    block = compiled_version(approval.execution.version_id).plan.nodes[row.node].block
    return row, _tool(approval, row, block) if block is not None else None


def _tool(approval: Approval, row: BlockExecution, block: Block) -> ToolType | None:
    fallback = block.recovery.fallback if block.recovery else None
    if row.stand_in == BlockExecution.StandIn.FALLBACK and fallback is not None and fallback.tool_type:
        return ToolType(fallback.tool_type)
    agent = find_agent(approval.workspace_id, row.agent_id) if row.agent_id else None
    return tool_of(block, agent) if agent is not None else block.tool_type


def _forbidden(
    tool: ToolType | None, given: JsonObject, mended: JsonObject, response: JsonObject
) -> Iterator[Problem]:
    model = None if tool is None else MODELS.get(tool)
    known = field_names(model) if model is not None else None
    harmless = _HARMLESS.get(tool, frozenset({"input"})) if tool is not None else frozenset({"input"})
    for key in mended:
        if _same(mended[key], given, key):
            continue
        if key not in harmless and (known is None or key in known):
            yield _editors_only(key, json_pointer("configuration", key))
        elif tool in _CALLS_WHAT_IT_IS_GIVEN:
            yield from _forbidden_input(tool, given, mended, key, response)


def _forbidden_input(
    tool: ToolType, given: JsonObject, mended: JsonObject, key: str, response: JsonObject
) -> Iterator[Problem]:
    """Yield the fields of an input that say what is reached, and with which rights: code may call what it is given."""
    name = given.get("useCase")
    use_case = REGISTRY.find(name) if tool is ToolType.USE_CASE and isinstance(name, str) else None
    marked = {*use_case.fields_marked(LITERAL), *use_case.fields_marked(FROM_SECRET)} if use_case else set()
    whole = key in _INPUTS
    before, after = (_fields(values, key) for values in (given, mended))
    for field in before | after:
        if field in after and _same(after[field], before, field):
            continue
        if field in marked or any(_holds_address(field, values.get(field)) for values in (before, after)):
            yield _editors_only(field or key, _pointer_of(key, field if whole else "", response))


def _holds_address(field: str, value: JsonValue) -> bool:
    return ADDRESS.search(json.dumps({field: value}, ensure_ascii=False)) is not None


def _fields(values: JsonObject, key: str) -> JsonObject:
    """Return the fields of an input; what is no object is one field without a name."""
    if key not in values:
        return {}
    value = values[key]
    if key not in _INPUTS:
        return {key: value}
    return value if isinstance(value, dict) else {"": value}


def _pointer_of(key: str, field: str, response: JsonObject) -> str:
    changes = response.get("input")
    if key == "input" and isinstance(changes, dict) and field in changes:
        return json_pointer("input", field)
    return json_pointer("configuration", key, *([field] if field else []))


def _same(value: JsonValue, before: Mapping[str, JsonValue], key: str) -> bool:
    # True is not 1 to those who read it.
    return key in before and type(before[key]) is type(value) and before[key] == value


def _editors_only(name: str, pointer: str) -> Problem:
    return Problem(
        EDITORS_ONLY,
        f"'{name}' says what is called, by whom or with which rights: only who may edit the workflow changes it here",
        pointer=pointer,
        suggestion="leave it as it is, or have somebody answer who may edit the workflow",
    )


def _misplaced_secrets(response: JsonObject, given: JsonObject) -> Iterator[Problem]:
    """Yield where a secret is named that was not named there: it is not filled in, and would be sent as it is typed."""
    before = {text for _, text in _texts(given, ())}
    for name in ("input", "configuration"):
        for place, text in _texts(response.get(name), (name,)):
            if SECRET.search(text) and text not in before:
                yield Problem(
                    "SECRET_NOT_ALLOWED",
                    "a secret cannot be named here",
                    pointer=json_pointer(*place),
                    suggestion="name it in the workflow, in the configuration of its block",
                )


def _texts(value: JsonValue, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _texts(member, (*place, key))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _texts(member, (*place, index))


def _placed(problem: Problem, response: JsonObject) -> Problem:
    """Return a problem of the whole configuration at its place in the response."""
    changes, parts = response.get("input"), problem.pointer.split("/")
    if isinstance(changes, dict) and parts[1:2] == ["input"]:
        return problem
    return replace(problem, pointer=f"/configuration{problem.pointer}")

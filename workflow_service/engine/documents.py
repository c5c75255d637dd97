"""The JSON spelling of a definition: ``load_definition`` and ``dump_definition``.

Whatever is wrong with a document becomes ``InvalidDefinition`` with a ``Problem`` for each place, in words
for its author. States beside a DSL text come in document A's spelling of a block or in document B's (section
6.4); ``canonical_state`` turns the second into the first.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic.alias_generators import to_snake
from pydantic_core import ErrorDetails

from workflow_service.engine.definition import (
    Block,
    Branch,
    Conditions,
    DecisionHistory,
    DecisionPolicy,
    Definition,
    DefinitionModel,
    EscalationLevel,
    Gate,
    GlobalSettings,
    HumanInLoop,
    JsonObject,
    RetryPolicy,
)
from workflow_service.engine.errors import InvalidDefinition, Problem
from workflow_service.engine.json_values import JsonUnfit, check_json, json_pointer
from workflow_service.engine.operators import kind_of
from workflow_service.engine.states import ToolType
from workflow_service.engine.syntax_hints import nearest

MAX_BYTES = 16 * 1024 * 1024
MAX_PROBLEMS = 100

# Document B's words for the kind of work (section 6.4), and the service's own in the same style.
CALLBACK_TYPES: Mapping[str, ToolType] = {
    "python_function": ToolType.USE_CASE,
    "http_request": ToolType.API,
    "llm_call": ToolType.LLM,
    **{tool_type.value.lower(): tool_type for tool_type in ToolType},
}

_MODELS: Mapping[str, type[DefinitionModel]] = {
    "": Definition,
    "blocks": Block,
    "gates": Gate,
    "conditions": Conditions,
    "branches": Branch,
    "humanInLoop": HumanInLoop,
    "humanInLoopDefaults": HumanInLoop,
    "escalationChain": EscalationLevel,
    "retryPolicy": RetryPolicy,
    "defaultRetryPolicy": RetryPolicy,
    "decision": DecisionPolicy,
    "decisions": DecisionPolicy,
    "history": DecisionHistory,
    "globalSettings": GlobalSettings,
}

Steps = tuple[str | int, ...]
Document = dict[str, Any]


def load_definition(document: Any) -> Definition:
    """Return the definition that ``document`` spells; raises ``InvalidDefinition`` naming what is wrong."""
    check_document(document)
    try:
        return Definition.model_validate(document)
    except ValidationError as error:
        raise invalid_definition(_problems_of(error, document)) from None


def dump_definition(definition: Definition) -> JsonObject:
    """Return the document of a definition, camelCase and without defaults; ``load_definition`` reads it."""
    return definition.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def canonical_state(state: Any, path: Steps) -> tuple[Document, list[Problem]]:
    """Return the block fields of one state and what is wrong with it; ``path`` leads to it.

    Accepts document B's callback_type, callback_config, timeout_seconds and retry_policy; its state_name and
    state_type say what the graph says anyway, and are left out.
    """
    if not isinstance(state, Mapping):
        return {}, [Problem("WRONG_TYPE", f"must be an object, not {kind_of(state)}", json_pointer(*path))]
    fields = {key: value for key, value in state.items() if key not in ("state_name", "state_type", "type")}
    problems = []
    for old, (new, convert) in _STATE_FIELDS.items():
        value = fields.pop(old, None)
        if value is None:
            continue
        try:
            if new in fields or to_snake(new) in fields:
                raise ValueError(f"give '{new}' or '{old}', not both")
            fields[new] = convert(value)
        except ValueError as error:
            problems.append(Problem("INVALID_FIELD", str(error), json_pointer(*path, old)))
    return fields, problems


def _tool_type(callback_type: Any) -> str:
    if isinstance(callback_type, str) and callback_type in CALLBACK_TYPES:
        return CALLBACK_TYPES[callback_type].value
    hint = nearest(callback_type, CALLBACK_TYPES) or f"use one of {', '.join(sorted(CALLBACK_TYPES))}"
    raise ValueError(f"this callback type is unknown; {hint}")


def _milliseconds(seconds: Any) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < 10**9:
        raise ValueError("must be a number of seconds above 0")
    return max(1, round(seconds * 1000))


_STATE_FIELDS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "callback_type": ("toolType", _tool_type),
    "callback_config": ("configuration", lambda config: config),
    "timeout_seconds": ("timeout", _milliseconds),
}


def check_document(document: Any) -> None:
    """Raise ``InvalidDefinition`` for what no JSON document may hold, such as NaN or half a character."""
    try:
        check_json(document, max_bytes=MAX_BYTES)
    except JsonUnfit as fault:
        raise invalid_definition(fault.problems) from None


def invalid_definition(problems: Sequence[Problem]) -> InvalidDefinition:
    """Return the error of several problems; its message is that of the first."""
    first = problems[0]
    where = f"{first.pointer}: " if first.pointer else ""
    if first.line is not None:
        where = f"line {first.line}, column {first.column}: "
    hint = f"; {first.suggestion}" if first.suggestion else ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return InvalidDefinition(f"{where}{first.message}{hint}{more}", problems[:MAX_PROBLEMS])


def _problems_of(error: ValidationError, document: Any) -> list[Problem]:
    """Return one problem for each place that pydantic found wrong."""
    found: dict[str, Problem] = {}
    for details in error.errors(include_url=False):
        path = _path_in(document, details["loc"])
        pointer = json_pointer(*path)
        # A tuple whose items are wrong is also called too short; a union calls every member wrong.
        echo = details["type"] == "too_short" and len(details["input"]) > 0 and len(found) > 0
        if pointer not in found and not (echo and any(key.startswith(pointer + "/") for key in found)):
            found[pointer] = _problem_of(details, path)
    return list(found.values())


def _path_in(document: Any, location: Steps) -> Steps:
    """Return ``location`` up to where it leaves the document and pydantic names members of unions."""
    steps: list[str | int] = []
    value = document
    for step in location:
        if isinstance(value, Mapping) and isinstance(step, str):
            if step not in value and step != location[-1]:
                break
            value = value.get(step)
        elif isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            break
        steps.append(step)
    return tuple(steps)


def _problem_of(details: ErrorDetails, path: Steps) -> Problem:
    kind, context, pointer = details["type"], details.get("ctx", {}), json_pointer(*path)
    value = details["input"]
    names = [step for step in path if isinstance(step, str)]
    if kind == "missing":
        return Problem("MISSING_FIELD", f"'{names[-1]}' is missing", pointer)
    if kind == "extra_forbidden":
        model = _MODELS.get(names[-2] if len(names) > 1 else "")
        known = [info.alias or name for name, info in model.model_fields.items()] if model else []
        message = f"the field '{names[-1][:100]}' is unknown"
        return Problem("UNKNOWN_FIELD", message, pointer, nearest(names[-1], known))
    if kind == "value_error":
        return Problem("INVALID_FIELD", str(context["error"]), pointer)
    if kind in ("enum", "literal_error"):
        allowed = str(context["expected"])
        return Problem(
            "INVALID_FIELD", f"must be {allowed}", pointer, nearest(value, allowed.split("'")[1::2])
        )
    if kind in _WANTED:
        return Problem("WRONG_TYPE", f"must be {_WANTED[kind]}, not {kind_of(value)}", pointer)
    message = details["msg"]
    for words, plain in (("Input should", "must"), ("String should", "must"), ("Tuple should", "must")):
        message = message.replace(words, plain)
    return Problem("INVALID_FIELD", message.replace(" after validation", ""), pointer)


_WANTED = {
    "model_type": "an object",
    "dict_type": "an object",
    "tuple_type": "a list",
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
}

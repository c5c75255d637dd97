"""The form of an answer: its fields, its buttons, and what an answer typed into them says.

Each type of step has its own: an approval is approved or rejected, a form is filled in, a review's output may be
edited, and of a failed block one says what is to be done. Whatever was typed is checked by the service that decides.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast
from urllib.parse import quote_plus

from pydantic import JsonValue

from approvals_app.errors import UnknownDecision
from approvals_app.models import Approval
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import Problem
from workflow_service.engine.states import HumanStepType
from workflow_service.schema_forms import (
    FormField,
    FormUnreadable,
    form_fields,
    problems_by_field,
    read_form,
    read_object,
    schema_of,
)
from workflow_service.settings.config import get_config

# What the button is called in what a form sends.
DECISION = "decision"
RESPONSE = "response"
OUTPUT = "output"
GOOD, BAD, QUIET = "good", "bad", "quiet"


@dataclass(frozen=True, slots=True)
class Button:
    """One way to answer. ``tone`` is good, bad or quiet; ``needs_fields`` says whether the form's fields count."""

    value: str
    label: str
    tone: str
    needs_fields: bool


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """What a person fills in to answer, and how they send it; the first button is the one to offer first.

    ``too_large`` says that there is an output to be changed which no form can send.
    """

    fields: tuple[FormField, ...]
    buttons: tuple[Button, ...]
    too_large: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person decided, as ``respond_to_approval`` takes it."""

    approved: bool
    response: JsonObject | None


_BUTTONS: Mapping[str, tuple[Button, ...]] = {
    HumanStepType.APPROVAL: (
        Button("approve", "Approve", GOOD, True),
        Button("reject", "Reject", BAD, False),
    ),
    HumanStepType.INPUT: (
        Button("submit", "Submit", GOOD, True),
        Button("decline", "Decline", BAD, False),
    ),
    HumanStepType.REVIEW: (
        Button("approve", "Approve", GOOD, False),
        Button("change", "Approve with changes", QUIET, True),
        Button("reject", "Reject", BAD, False),
    ),
    HumanStepType.CHOICE: (
        Button("choose", "Choose", GOOD, True),
        Button("decline", "Let it fail", BAD, False),
    ),
    HumanStepType.INTERVENTION: (
        Button("retry", "Retry", GOOD, True),
        Button("skip", "Skip", QUIET, True),
        Button("abort", "Abort", BAD, False),
    ),
}
_NO: frozenset[str] = frozenset({"reject", "decline", "abort"})
# The fields of an intervention by the button that they are for.
_FIELDS_OF: Mapping[str, tuple[str, ...]] = {"retry": ("input", "configuration"), "skip": ("output",)}


def answer_form(
    approval: Approval,
    typed: Mapping[str, str] | None = None,
    problems: Mapping[str, str] | None = None,
    *,
    mendable: JsonValue = None,
) -> AnswerForm:
    """Return the form that answers ``approval``, with what was ``typed`` into it and its ``problems`` by field name.

    The name of the buttons is ``DECISION``. ``mendable`` is what the person may change of an intervention's block;
    None: all of it.
    """
    typed, problems = typed or {}, problems or {}
    buttons = _buttons_of(approval)
    match approval.type:
        case HumanStepType.REVIEW:
            schema, output = _reviewed(approval)
            if not _is_sendable(output):
                return AnswerForm((), tuple(one for one in buttons if not one.needs_fields), too_large=True)
            fields = form_fields(schema, typed, problems, name=OUTPUT, label="Output", present=output)
            # They are looked at, and filled in only by who wants to change something.
            return AnswerForm(tuple(replace(field, required=False) for field in fields), buttons)
        case HumanStepType.INTERVENTION:
            schema = _mending_schema(approval)
            present = _mendable(approval, mendable)
            fields = form_fields(schema, typed, problems, name=RESPONSE, present=present)
            closed = _closed(_mendable(approval, None), present)
            return AnswerForm(tuple(_with_closed(field, closed) for field in fields), buttons)
    fields = form_fields(approval.response_schema, typed, problems, name=RESPONSE, label="Response")
    return AnswerForm(fields, buttons)


def read_answer(approval: Approval, typed: Mapping[str, str], *, mendable: JsonValue = None) -> Answer:
    """Return what a form says that was sent; raises ``FormUnreadable`` and ``UnknownDecision``.

    ``mendable`` is as it was for the form.
    """
    pressed = typed.get(DECISION)
    if pressed not in {button.value for button in _buttons_of(approval)}:
        raise UnknownDecision
    if pressed in _NO:
        return Answer(False, None)
    match approval.type:
        case HumanStepType.REVIEW:
            return Answer(True, _edited(approval, typed) if pressed == "change" else None)
        case HumanStepType.INTERVENTION:
            return Answer(True, {"action": pressed, **_mended(approval, typed, pressed, mendable)})
    schema = approval.response_schema
    return Answer(True, None if schema is None else read_object(schema, typed, name=RESPONSE))


def problems_of_answer(approval: Approval, problems: Iterable[Problem]) -> dict[str, str]:
    """Return what is wrong with a response by the field that it belongs to, ``""`` for what is no field's."""
    if approval.type == HumanStepType.REVIEW:
        schema, output = _reviewed(approval)
        inside = [replace(problem, pointer=problem.pointer.removeprefix("/output")) for problem in problems]
        return problems_by_field(schema, inside, name=OUTPUT, present=output)
    mending = approval.type == HumanStepType.INTERVENTION
    asked = _mending_schema(approval) if mending else approval.response_schema
    return problems_by_field(asked, problems, name=RESPONSE)


def _buttons_of(approval: Approval) -> tuple[Button, ...]:
    buttons = _BUTTONS[approval.type]
    if approval.type != HumanStepType.INTERVENTION:
        return buttons
    actions = _member(approval.response_schema, "properties", "action", "enum")
    return tuple(button for button in buttons if not isinstance(actions, list) or button.value in actions)


# Reviews


def _reviewed(approval: Approval) -> tuple[JsonObject, JsonValue]:
    """Return the schema by which a review's output is edited, and the output as the block made it."""
    proposed: JsonValue = approval.proposed
    schema = _member(approval.response_schema, "properties", OUTPUT)
    asked = schema if isinstance(schema, dict) else {}
    return asked if asked.keys() - {"$id"} else schema_of(proposed), proposed


def _edited(approval: Approval, typed: Mapping[str, str]) -> JsonObject | None:
    """Return the output as it was edited; None where nothing was, which approves it as it is."""
    schema, output = _reviewed(approval)
    edited = read_form(schema, typed, name=OUTPUT, present=output)
    return None if json.dumps(edited) == json.dumps(output) else {OUTPUT: edited}


# Interventions


def _mending_schema(approval: Approval) -> JsonObject:
    """Return the schema of an intervention's fields: the action is chosen by the button."""
    schema = approval.response_schema or {}
    properties = _member(schema, "properties")
    fields = dict(properties) if isinstance(properties, dict) else {}
    fields.pop("action", None)
    return {"type": "object", "properties": fields}


def _mendable(approval: Approval, mendable: JsonValue) -> JsonObject:
    """Return what the block was given, as far as its question and ``mendable`` let it be changed."""
    given: JsonValue = approval.input if mendable is None else mendable
    fields = _member(_mending_schema(approval), "properties")
    if not isinstance(given, dict) or not isinstance(fields, dict) or "configuration" not in fields:
        return {}
    configuration = {key: value for key, value in given.items() if key != "input"}
    inner = given.get("input")
    shown: JsonObject = {"input": inner} if isinstance(inner, dict) else {}
    shown |= {"configuration": configuration} if configuration else {}
    # What is typed replaces what it names: that needs not be there to be looked at.
    return shown if _is_sendable(shown) else {}


def _closed(given: JsonObject, present: JsonObject) -> dict[str, list[str]]:
    """Return by field what was given of it, and is not there to be changed."""
    found = {}
    for name, value in given.items():
        left = present.get(name)
        if isinstance(value, dict):
            found[f"{RESPONSE}.{name}"] = sorted(
                value.keys() - (left.keys() if isinstance(left, dict) else ())
            )
    return found


def _with_closed(field: FormField, closed: Mapping[str, list[str]]) -> FormField:
    names = closed.get(field.name)
    if not names:
        return field
    return replace(field, help=f"{field.help} Only who may edit the workflow changes {', '.join(names)}.")


def _mended(approval: Approval, typed: Mapping[str, str], pressed: str, mendable: JsonValue) -> JsonObject:
    """Return what was changed for the action that was chosen; raises ``FormUnreadable`` for what is no part of it."""
    shown = _mendable(approval, mendable)
    value = read_object(_mending_schema(approval), typed, name=RESPONSE, present=shown)
    problems: dict[str, str] = {}
    mended: JsonObject = {}
    for name in value | shown:
        before, after = shown.get(name), value.get(name)
        if before == after:
            continue
        if name not in _FIELDS_OF[pressed]:
            problems[f"{RESPONSE}.{name}"] = f"is not for {pressed.capitalize()}: leave it as it was"
        elif not isinstance(after, dict):
            problems[f"{RESPONSE}.{name}"] = "must be a JSON object"
        elif name == OUTPUT:
            mended[name] = after
        else:
            known = before if isinstance(before, dict) else {}
            gone = sorted(known.keys() - after.keys())
            if gone:
                problems[f"{RESPONSE}.{name}"] = (
                    f"{gone[0]!r} can be changed, and set to null, but not taken out"
                )
            mended[name] = {
                key: each for key, each in after.items() if key not in known or known[key] != each
            }
    if problems:
        raise FormUnreadable(problems)
    return mended


def _is_sendable(value: JsonValue) -> bool:
    """Say whether a form with ``value`` in its fields, as a browser escapes them, is one that the server takes."""
    most = get_config().max_input_bytes // 2
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return len(text) <= most and len(quote_plus(text.replace("\n", "\r\n"))) <= most


def _member(schema: JsonObject | None, *path: str) -> JsonValue:
    found: JsonValue = cast(JsonValue, schema)
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found

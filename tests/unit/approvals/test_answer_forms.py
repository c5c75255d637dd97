"""Forms of answers: fields from schemas, buttons by the type of step, and what comes back."""

from typing import Any

import pytest

from approvals_app.errors import UnknownDecision
from approvals_app.intervention import response_schema
from approvals_app.models import Approval
from approvals_app.response_form import Answer, answer_form, problems_of_answer, read_answer
from approvals_app.response_schema import find_problems
from approvals_app.review import reviewed_schema
from workflow_service.engine.definition import JsonObject
from workflow_service.schema_forms import FormUnreadable, form_fields, read_form, schema_of
from workflow_service.settings.config import get_config

LIMITS: JsonObject = {
    "type": "object",
    "properties": {
        "note": {"type": "string", "maxLength": 500},
        "limit": {"type": "integer", "title": "Limit", "default": 5},
        "kind": {"type": "string", "enum": ["a", "b"]},
        "sure": {"type": "boolean"},
    },
    "required": ["sure", "limit"],
}


def approval(kind: str, **fields: Any) -> Approval:
    return Approval(type=kind, **fields)


def shown(question: Approval) -> dict[str, str]:
    """Return what a browser sends of a form that nobody touched: every line ends with CR LF."""
    return {
        field.name: field.value.replace("\r\n", "\n").replace("\n", "\r\n")
        for field in answer_form(question).fields
    }


def schema_asked(question: Approval) -> JsonObject:
    assert isinstance(question.response_schema, dict)
    return question.response_schema


def press(question: Approval, button: str, **typed: str) -> Answer:
    return read_answer(question, {**shown(question), **typed, "decision": button})


# Fields


def test_fields_come_in_the_order_that_is_required_for_postgres_keeps_none() -> None:
    fields = form_fields(LIMITS, {}, {}, name="input")
    assert [field.name for field in fields] == ["input.sure", "input.limit", "input.note", "input.kind"]
    assert [field.control for field in fields] == ["choice", "integer", "lines", "choice"]
    assert [field.required for field in fields] == [True, True, False, False]
    assert fields[1].value == "5"


def test_an_order_that_is_given_goes_before_all() -> None:
    schema: JsonObject = {
        "type": "object",
        "properties": {"a": {}, "b": {"propertyOrder": 2}, "c": {"propertyOrder": 1}},
        "required": ["a"],
    }
    assert [field.label for field in form_fields(schema, {}, {}, name="x")] == ["c", "b", "a"]


def test_what_was_typed_is_shown_again_with_what_is_wrong_with_it() -> None:
    typed = {"input.limit": "ten"}
    with pytest.raises(FormUnreadable) as raised:
        read_form(LIMITS, typed, name="input")
    assert raised.value.problems.keys() == {"input.limit"}
    field = form_fields(LIMITS, typed, raised.value.problems, name="input")[1]
    assert (field.value, field.control) == ("ten", "text")
    assert field.problem


@pytest.mark.parametrize(
    "value",
    [
        {
            "text": "one\r\ntwo\n",
            "empty": "",
            "float": 1.0,
            "none": None,
            "list": [1, {"a": 2}],
            "yes": False,
        },
        {"text": "\nfirst line empty", "big": "x" * 900},
        {},
        [1, 2],
        "text",
        3.0,
    ],
    ids=["object", "lines", "empty", "list", "text", "number"],
)
def test_a_change_that_changes_nothing_approves_what_was_made(value: Any) -> None:
    question = approval("REVIEW", proposed=value, response_schema=reviewed_schema(None))
    assert press(question, "change") == Answer(True, None)


# Reviews


def test_an_edit_changes_what_was_changed_and_nothing_else() -> None:
    made: JsonObject = {"title": "Hello", "words": 2, "tags": ["x"], "hidden": {"kept": True}}
    schema: JsonObject = {
        "type": "object",
        "properties": {"title": {"type": "string"}, "words": {"type": "integer"}},
    }
    question = approval("REVIEW", proposed=made, response_schema=reviewed_schema(schema))
    answer = press(question, "change", **{"output.title": "Hello you", "output.words": ""})
    assert answer == Answer(True, {"output": {"title": "Hello you", "tags": ["x"], "hidden": {"kept": True}}})


def test_an_output_without_a_schema_is_edited_field_by_field() -> None:
    made: JsonObject = {"title": "Hello", "words": 2, "ready": True}
    question = approval("REVIEW", proposed=made, response_schema=reviewed_schema(None))
    assert {field.label: field.control for field in answer_form(question).fields} == {
        "title": "text",
        "words": "integer",
        "ready": "choice",
    }
    answer = press(question, "change", **{"output.title": "", "output.words": "3", "output.ready": "false"})
    assert answer == Answer(True, {"output": {"title": "", "words": 3, "ready": False}})
    assert schema_of(made)["properties"] == {
        "title": {"type": "string"},
        "words": {"type": "integer"},
        "ready": {"type": "boolean"},
    }


def test_an_approved_review_sends_no_output() -> None:
    question = approval("REVIEW", proposed={"a": 1}, response_schema=reviewed_schema(None))
    assert press(question, "approve", **{"output.a": "7"}) == Answer(True, None)
    assert press(question, "reject", **{"output.a": "7"}) == Answer(False, None)


def test_what_is_wrong_with_an_edit_is_said_at_its_field() -> None:
    schema: JsonObject = {
        "$defs": {"few": {"maximum": 3}},
        "type": "object",
        "properties": {"n": {"$ref": "#/$defs/few"}},
    }
    question = approval("REVIEW", proposed={"n": 1}, response_schema=reviewed_schema(schema))
    answer = press(question, "change", **{"output.n": "4"})
    problems = find_problems(schema_asked(question), answer.response)
    assert [(problem.code, problem.pointer) for problem in problems] == [("SCHEMA_MAXIMUM", "/output/n")]
    assert problems_of_answer(question, problems).keys() == {"output.n"}
    assert not find_problems(schema_asked(question), {}), "an approval without an edit"
    assert find_problems(schema_asked(question), {"other": 1})


# Buttons


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("APPROVAL", ["Approve", "Reject"]),
        ("INPUT", ["Submit", "Decline"]),
        ("REVIEW", ["Approve", "Approve with changes", "Reject"]),
        ("INTERVENTION", ["Retry", "Skip", "Abort"]),
    ],
)
def test_each_type_of_step_has_buttons_of_its_own(kind: str, labels: list[str]) -> None:
    question = approval(kind)
    assert [button.label for button in answer_form(question).buttons] == labels
    with pytest.raises(UnknownDecision):
        read_answer(question, {"decision": "dance"})
    with pytest.raises(UnknownDecision):
        read_answer(question, {})


def test_a_form_is_submitted_or_declined() -> None:
    question = approval("INPUT", response_schema=LIMITS)
    typed = {"response.limit": "7", "response.sure": "true"}
    assert press(question, "submit", **typed) == Answer(True, {"limit": 7, "sure": True})
    assert press(question, "decline", **typed) == Answer(False, None)


# Interventions


def intervention(actions: tuple[str, ...] = ("retry", "skip", "abort"), *, mendable: bool = True) -> Approval:
    given = {"url": "http://here", "times": 3, "input": {"key": "a", "rows": [1]}}
    return approval("INTERVENTION", input=given, response_schema=response_schema(actions, mendable=mendable))


def test_an_intervention_shows_what_the_block_was_given() -> None:
    fields = answer_form(intervention()).fields
    assert [field.label for field in fields] == ["Input", "Configuration", "Output"]
    assert fields[0].value.startswith('{\n  "key": "a"')


def test_only_what_was_changed_is_sent_with_a_retry() -> None:
    question = intervention()
    assert press(question, "retry") == Answer(True, {"action": "retry"})
    answer = press(question, "retry", **{"response.input": '{"key": "b", "rows": [1], "new": null}'})
    assert answer == Answer(True, {"action": "retry", "input": {"key": "b", "new": None}})
    assert not find_problems(schema_asked(question), answer.response)


@pytest.mark.parametrize(
    ("button", "field", "text"),
    [
        ("retry", "output", '{"a": 1}'),
        ("skip", "input", '{"key": "b"}'),
        ("retry", "input", '{"key": "b"}'),
        ("retry", "input", "3"),
        ("retry", "configuration", ""),
        ("skip", "output", "[]"),
        ("skip", "output", "{"),
    ],
)
def test_what_cannot_be_done_with_an_action_is_said_at_its_field(button: str, field: str, text: str) -> None:
    with pytest.raises(FormUnreadable) as raised:
        press(intervention(), button, **{f"response.{field}": text})
    assert raised.value.problems.keys() == {f"response.{field}"}


def test_a_skip_takes_an_output() -> None:
    question = intervention()
    answer = press(question, "skip", **{"response.output": '{"by": 1}'})
    assert answer == Answer(True, {"action": "skip", "output": {"by": 1}})
    assert not find_problems(schema_asked(question), answer.response)


@pytest.mark.parametrize(
    ("response", "pointer"),
    [
        ({"action": "skip", "input": {}}, "/input"),
        ({"action": "retry", "output": {}}, "/output"),
        ({"action": "abort", "configuration": {}}, "/configuration"),
    ],
    ids=["skip", "retry", "abort"],
)
def test_an_action_takes_its_own_fields_alone(response: dict[str, Any], pointer: str) -> None:
    (problem,) = find_problems(schema_asked(intervention()), response)
    assert (problem.pointer, problem.code) == (pointer, "SCHEMA_NOT")


def test_a_block_whose_work_is_done_takes_values_for_the_run() -> None:
    question = intervention(("retry", "abort"))
    assert [button.label for button in answer_form(question).buttons] == ["Retry", "Abort"]
    assert [field.label for field in answer_form(question).fields] == ["Values"]
    answer = press(question, "retry", **{"response.input": '{"way": "low"}'})
    assert answer == Answer(True, {"action": "retry", "input": {"way": "low"}})


def test_the_input_of_a_whole_map_is_not_to_be_mended() -> None:
    assert [field.label for field in answer_form(intervention(mendable=False)).fields] == ["Output"]


@pytest.mark.parametrize(
    ("schema", "given"),
    [
        ({"pattern": "a{99999999999}"}, "a"),
        ({"multipleOf": 0.1}, 10**400),
        ({"$ref": "#/required"}, 1),
        ({"$ref": "#/required/first"}, 1),
        ({"$ref": "#/default"}, 1),
    ],
    ids=["too often", "too large", "a list", "no index", "no schema"],
)
def test_what_a_schema_cannot_be_used_for_is_a_problem_and_no_crash(schema: JsonObject, given: Any) -> None:
    asked: JsonObject = {"properties": {"x": schema}, "required": ["x"], "default": {"type": "nothing"}}
    answer: JsonObject = {"x": given}
    edit: JsonObject = {"output": answer}
    for whole, typed in ((asked, answer), (reviewed_schema(asked), edit)):
        (problem,) = find_problems(whole, typed)
        assert problem.code == "RESPONSE_SCHEMA_UNUSABLE"


def test_what_no_form_could_send_back_is_not_put_into_one() -> None:
    large = {"text": "é" * (get_config().max_input_bytes // 8)}
    form = answer_form(approval("REVIEW", proposed=large, response_schema=reviewed_schema(None)))
    assert ([button.value for button in form.buttons], form.fields) == (["approve", "reject"], ())
    assert form.too_large
    asked = response_schema(("retry", "abort"))
    failed = approval("INTERVENTION", input={"url": "x", "input": large}, response_schema=asked)
    assert not any("é" in value for value in shown(failed).values())
    mended = press(failed, "retry", **shown(failed) | {"response.input": '{"text": "short"}'})
    assert mended.response == {"action": "retry", "input": {"text": "short"}}

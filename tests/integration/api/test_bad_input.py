"""Bad input: a clear error that names the place and the mend, nothing saved, and never a 500."""

import json
from typing import Any

import pytest

from executions_app.models import Execution
from templates_app.models import Template
from tests.caller import Caller, problem_of
from tests.factories import branch, noop
from tests.house import House
from workflow_service.accounts.models import Role


def first_error(answer: Any, status: int, code: str) -> dict[str, Any]:
    errors: list[dict[str, Any]] = problem_of(answer, status, code)["errors"]
    return errors[0]


DEEP = '{"name":' + "[" * 5_000 + "]" * 5_000 + "}"
BROKEN = {
    "5,000 deep": (DEEP, 400, "MALFORMED_BODY"),
    "only opening brackets": ("[" * 5_000, 400, "MALFORMED_BODY"),
    "objects 5,000 deep": ('{"a":' * 5_000, 400, "MALFORMED_BODY"),
    "NaN": ('{"name": NaN}', 400, "MALFORMED_BODY"),
    "Infinity": ('{"name": -Infinity}', 400, "MALFORMED_BODY"),
    "a number without end": ('{"name": ' + "9" * 10_000 + "}", 400, "MALFORMED_BODY"),
    "a key twice": ('{"name": "a", "name": "b"}', 400, "MALFORMED_BODY"),
    "not UTF-8": (b'{"name": "\xff"}', 400, "MALFORMED_BODY"),
    "NUL": ('{"name": "\\u0000"}', 400, "MALFORMED_BODY"),
    "half a surrogate pair": ('{"name": "\\ud800"}', 400, "MALFORMED_BODY"),
    "no JSON": ("name=x", 400, "MALFORMED_BODY"),
    "cut off": ('{"name": "a"', 400, "MALFORMED_BODY"),
    "a list": ("[1, 2]", 400, "BODY_NOT_AN_OBJECT"),
    "a text": ('"name"', 400, "BODY_NOT_AN_OBJECT"),
    "null": ("null", 400, "BODY_NOT_AN_OBJECT"),
    "too large": ('{"name": "' + "x" * 1_100_000 + '"}', 413, "BODY_TOO_LARGE"),
}


@pytest.mark.parametrize("path", ["templates", "templates/validate", "executions", "api-keys", "auth/token"])
@pytest.mark.parametrize("case", BROKEN)
def test_a_body_that_is_no_json_object_is_refused_everywhere(developer: Caller, path: str, case: str) -> None:
    body, status, code = BROKEN[case]
    problem_of(developer.post(path, body), status, code)
    assert not Template.objects.exists()


def test_another_media_type_is_415(house: House) -> None:
    answer = house.caller(**{"Content-Type": "text/plain"}).post("templates", "x")
    problem_of(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_place_in_broken_json_is_named(developer: Caller) -> None:
    error = first_error(developer.post("templates", '{"name": "a",\n  "blocks": [,]}'), 400, "MALFORMED_BODY")
    assert (error["line"], error["column"]) == (2, 14)


def test_a_dsl_syntax_error_has_line_column_and_hint(developer: Caller) -> None:
    body = {"name": "T", "dsl": "start->a;\na=>b;\nb->end;", "states": {"a": {}, "b": {}}}
    error = first_error(developer.post("templates", body), 422, "DSL_SYNTAX_ERROR")
    assert (error["pointer"], error["line"], error["column"]) == ("/dsl", 2, 2)
    assert error["suggestion"] == "write a->b"
    issue, *others = developer.post("templates/validate", body).json()["issues"]
    assert (issue["type"], issue["line"], issue["column"]) == ("DSL_SYNTAX_ERROR", 2, 2)
    # What is wrong besides is told in the same round.
    assert {(one["type"], one["pointer"]) for one in others} == {
        ("NO_WORK", f"/states/{a}/toolType") for a in "ab"
    }
    assert not Template.objects.exists()


def findings(developer: Caller, *blocks: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    """Return the errors of a definition, after seeing that by no way it becomes active."""
    body = {"name": "T", "blocks": list(blocks), **fields}
    validated = developer.post("templates/validate", body).json()
    assert validated["valid"] is False
    saved = developer.post("templates", body).json()
    assert saved["status"] == "draft"
    assert saved["findings"] == validated["issues"]
    problem_of(developer.post("templates", body | {"status": "active"}), 422, "INVALID_DEFINITION")
    problem_of(
        developer.post("executions", {"templateId": saved["templateId"]}), 422, "TEMPLATE_NOT_RUNNABLE"
    )
    return [issue for issue in validated["issues"] if issue["severity"] == "ERROR"]


def test_an_unknown_block_is_named_with_the_nearest_one(developer: Caller) -> None:
    found = findings(
        developer, noop("extract"), noop("load", conditions={"branches": [branch("x > 1", "extrakt")]})
    )
    (issue,) = (one for one in found if one["type"] == "UNKNOWN_BLOCK")
    assert issue["blockId"] == "load"
    assert "extrakt" in issue["message"]
    assert "extract" in issue["suggestion"]


def test_a_dependency_on_nothing_is_named(developer: Caller) -> None:
    (issue,) = findings(developer, noop("extract"), noop("load", dependencies=["extrakt"]))
    assert issue["type"] == "MISSING_DEPENDENCY"
    assert "extract" in issue["suggestion"]


def test_a_cycle_is_named_with_its_blocks(developer: Caller) -> None:
    (issue,) = findings(
        developer, noop("a", dependencies=["c"]), noop("b", dependencies=["a"]), noop("c", dependencies=["b"])
    )
    assert (issue["type"], sorted(issue["blocks"])) == ("CIRCULAR_DEPENDENCY", ["a", "b", "c"])


def test_an_unreachable_block_is_named(developer: Caller) -> None:
    loop = {"branches": [branch("again", "island"), branch(None, "end")]}
    found = findings(developer, noop("a"), noop("island", conditions=loop))
    assert ("UNREACHABLE_BLOCK", "island") in {(one["type"], one["blockId"]) for one in found}


def test_a_bad_condition_is_named_with_its_place(developer: Caller) -> None:
    (issue,) = findings(
        developer, noop("a", conditions={"branches": [branch("x = = 1", "b"), branch(None, "b")]}), noop("b")
    )
    assert issue["type"] == "BAD_CONDITION"
    assert issue["pointer"].startswith("/blocks/0/conditions/branches/0")
    assert issue["column"] is not None


@pytest.mark.parametrize("condition", ["__import__('os')", "(lambda: 1)()", "not " * 5_000 + "x"])
def test_a_condition_that_reaches_out_is_refused(developer: Caller, condition: str) -> None:
    blocks = noop("a", conditions={"branches": [branch(condition, "b"), branch(None, "b")]}), noop("b")
    assert {issue["type"] for issue in findings(developer, *blocks)} == {"BAD_CONDITION"}


def test_a_loop_that_cannot_be_run_is_named(developer: Caller) -> None:
    """Entered at two blocks, with parallel parts: nothing says where a round begins and ends."""
    found = findings(
        developer,
        noop("s"),
        noop("a", dependencies=["s"]),
        noop("b", dependencies=["s", "a"]),
        noop("c", dependencies=["a"]),
        noop("d", dependencies=["b", "c"], conditions={"branches": [branch("x", "a"), branch(None, "end")]}),
    )
    assert {issue["type"] for issue in found} == {"UNSUPPORTED_LOOP"}


def test_a_tool_that_is_configured_wrong_is_named(developer: Caller) -> None:
    (issue,) = findings(
        developer, {"blockId": "a", "toolType": "USE_CASE", "configuration": {"useCase": "sales.extrakt"}}
    )
    assert (issue["blockId"], issue["pointer"]) == ("a", "/blocks/0/configuration/useCase")


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"type": "nothing"}, "/inputSchema/type"),
        ({"properties": {"a": {"$ref": "http://127.0.0.1/schema"}}}, "/inputSchema/properties/a/$ref"),
    ],
)
def test_an_input_schema_that_is_none_is_named(developer: Caller, schema: Any, pointer: str) -> None:
    (issue,) = findings(developer, noop("a"), inputSchema=schema)
    assert (issue["type"], issue["pointer"]) == ("BAD_SCHEMA", pointer)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"blocks": []}, "/blocks"),
        ({"blocks": "a"}, "/blocks"),
        ({"blocks": [1]}, "/blocks/0"),
        ({"blocks": [{"name": "x"}]}, "/blocks/0/blockId"),
        ({"blocks": [noop("a b")]}, "/blocks/0/blockId"),
        ({"blocks": [noop("end")]}, "/blocks/0/blockId"),
        ({"blocks": [noop("a") | {"toolTyp": "NOOP"}]}, "/blocks/0/toolTyp"),
        ({"blocks": [noop("a", timeout="soon")]}, "/blocks/0/timeout"),
        ({"name": ""}, "/name"),
        ({"name": None}, "/name"),
        ({"name": "x" * 256}, "/name"),
        ({"tags": "etl"}, "/tags"),
        ({"version": "one"}, "/version"),
        ({"metadata": {"estimatedDuration": -1}}, "/metadata/estimatedDuration"),
        ({"metadata": {"estimated": 1}}, "/metadata/estimated"),
        ({"colour": "red"}, "/colour"),
        ({"states": {}}, "/states"),
        ({"dsl": "start->a;"}, "/blocks"),
        ({"status": "archived"}, "/status"),
    ],
)
def test_a_wrong_field_is_named(developer: Caller, fields: dict[str, Any], pointer: str) -> None:
    answer = developer.post("templates", {"name": "T", "blocks": [noop("a")]} | fields)
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert not Template.objects.exists()


def test_an_unknown_field_gets_the_nearest_name(developer: Caller) -> None:
    body = {"name": "T", "blocks": [noop("a")], "globalSetings": {}}
    error = first_error(developer.post("templates", body), 422, "INVALID_REQUEST")
    assert (error["code"], error["suggestion"]) == ("UNKNOWN_FIELD", "did you mean 'globalSettings'?")


@pytest.fixture
def template_id(developer: Caller) -> str:
    schema = {"type": "object", "required": ["path"], "properties": {"path": {"type": "string"}}}
    made = developer.post("templates", {"name": "T", "blocks": [noop("a")], "inputSchema": schema})
    return str(made.json()["templateId"])


@pytest.mark.parametrize(
    ("fields", "status", "code", "pointer"),
    [
        ({"input": [1]}, 422, "INPUT_REJECTED", "/input"),
        ({"input": "x"}, 422, "INPUT_REJECTED", "/input"),
        ({"input": None}, 422, "INVALID_REQUEST", "/input"),
        ({"input": {}}, 422, "INPUT_REJECTED", "/input"),
        ({"input": {"path": 1}}, 422, "INPUT_REJECTED", "/input/path"),
        ({"options": {"priority": "now"}}, 422, "INVALID_REQUEST", "/options/priority"),
        ({"options": {"timeout": 0}}, 422, "INVALID_REQUEST", "/options/timeout"),
        ({"options": {"timeout": 10**15}}, 422, "INVALID_REQUEST", "/options/timeout"),
        ({"options": {"notification": {}}}, 422, "INVALID_REQUEST", "/options/notification"),
        ({"template": "x"}, 422, "INVALID_REQUEST", "/template"),
    ],
)
def test_a_wrong_start_is_refused_and_starts_nothing(
    developer: Caller, template_id: str, fields: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    body = {"templateId": template_id, "input": {"path": "a.csv"}} | fields
    assert first_error(developer.post("executions", body), status, code)["pointer"] == pointer
    assert not Execution.objects.exists()


def test_unknown_templates_versions_and_workspaces_are_404(
    developer: Caller, template_id: str, other_house: House
) -> None:
    body = {"templateId": template_id, "input": {"path": "a.csv"}}
    problem_of(developer.post("executions", body | {"templateId": "tpl_none"}), 404, "TEMPLATE_NOT_FOUND")
    problem_of(developer.post("executions", body | {"version": "7.0.0"}), 404, "TEMPLATE_VERSION_NOT_FOUND")
    foreign = body | {"workspaceId": other_house.workspace.public_id}
    problem_of(developer.post("executions", foreign), 404, "WORKSPACE_NOT_FOUND")
    problem_of(developer.post("executions", body | {"workspaceId": "\x01 no"}), 404, "WORKSPACE_NOT_FOUND")
    assert not Execution.objects.exists()


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ü"])
def test_an_idempotency_key_that_cannot_be_is_400(developer: Caller, template_id: str, key: str) -> None:
    body = {"templateId": template_id, "input": {"path": "a.csv"}}
    problem_of(developer.post("executions", body, **{"Idempotency-Key": key}), 400, "INVALID_HEADER")


@pytest.mark.parametrize("query", ["wait=31", "wait=-1", "wait=nan", "wait=soon", "waits=1"])
def test_a_wait_that_cannot_be_is_400(developer: Caller, template_id: str, query: str) -> None:
    body = {"templateId": template_id, "input": {"path": "a.csv"}}
    problem_of(developer.post(f"executions?{query}", body), 400, "INVALID_QUERY")


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "templates/",
        "templates/tpl_1/nothing",
        "templates/%00",
        "executions/..",
        "/api/",
        "/api/v2/templates",
    ],
)
def test_an_address_nobody_serves_is_404(house: House, path: str) -> None:
    problem_of(house.caller(Role.ADMIN).get(path), 404, "NOT_FOUND")


def test_a_method_nobody_serves_is_405(developer: Caller) -> None:
    problem_of(developer.put("templates", {}), 405, "METHOD_NOT_ALLOWED")


def test_an_unexpected_failure_is_a_500_with_an_id_that_is_logged(
    developer: Caller, template_id: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr("templates_app.api.views.get_version", fail)
    problem = problem_of(developer.get(f"templates/{template_id}"), 500, "INTERNAL_ERROR")
    assert "secret" not in json.dumps(problem)
    assert problem["errorId"] in caplog.text
    assert "a secret detail" in caplog.text

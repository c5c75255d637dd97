"""Templates as files over HTTP: what is exported is imported as the same definition, whatever the spelling."""

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from templates_app.api.examples import BLOCKS, DSL
from templates_app.models import TemplateVersion
from templates_app.yaml_documents import read_yaml
from tests.caller import Caller, problem_of
from tests.factories import branch, noop
from tests.house import House, make_house
from workflow_service.accounts.models import Role

FORMATS = ("json", "yaml", "dsl")
# Texts that YAML would take for something else, and a script of several lines.
ODD: dict[str, Any] = {
    "name": "Ödd: #1 & yes",
    "description": "line one\n  line two \n",
    "tags": ["on", "1e5", "null"],
    "blocks": [
        noop(
            "a",
            {"yes": "no", "n": "1e5", "x": 1e20, "big": 10**20, "code": "import os\n\nprint(1)\n", "": "~"},
        ),
        noop("b", conditions={"branches": [branch("x > 1", "c"), branch(None, "end")]}, dependencies=["a"]),
        noop("c", timeout=5_000, onError=["d"]),
        noop("d", name="A: b", humanInLoop={"required": True, "message": "- ok?"}),
    ],
    "inputSchema": {"type": "object", "properties": {"on": {"enum": [True, "true", None, 0.1]}}},
    "globalSettings": {"timeout": 60_000, "defaultRetryPolicy": {"maxRetries": 0}},
}


@pytest.fixture
def house(db: None) -> House:
    return make_house()


def made(caller: Caller, body: dict[str, Any]) -> str:
    answer = caller.post("templates", body)
    assert answer.status_code == 201, answer.content
    return f"templates/{answer.json()['templateId']}"


def digest_of(path: str) -> str:
    return TemplateVersion.objects.get(template__public_id=path.removeprefix("templates/")).definition_sha256


@pytest.mark.parametrize("spelling", FORMATS)
@pytest.mark.parametrize("body", [BLOCKS, DSL, ODD], ids=["blocks", "dsl", "odd"])
def test_what_is_exported_is_imported_as_the_same(
    developer: Caller, house: House, body: dict[str, Any], spelling: str
) -> None:
    path = made(developer, body)
    file = developer.get(f"{path}/export", {"format": spelling})
    suffix, media_type = ("json", "application/json") if spelling == "json" else ("yaml", "application/yaml")
    assert file["Content-Type"] == f"{media_type}; charset=utf-8"
    assert file["Content-Disposition"].startswith("attachment; filename=")
    assert f"-1.0.0.{suffix}" in file["Content-Disposition"]
    admin = house.caller(Role.ADMIN)
    answer = admin.upload("templates/import", file.content, content_type=media_type)
    copy = answer.json()
    assert answer.status_code == 201, copy
    assert copy["created"] is True
    assert digest_of(f"templates/{copy['templateId']}") == digest_of(path)
    original = developer.get(path).json()
    for field in ("name", "description", "tags", "metadata", "version", "status", "blocks"):
        assert copy[field] == original[field]
    again = admin.upload("templates/import", file.content, content_type=media_type).json()
    assert (again["created"], again["templateId"]) == (False, copy["templateId"]), "twice is once"


def test_an_old_version_is_exported_and_the_dsl_spells_the_graph(developer: Caller) -> None:
    path = made(developer, DSL)
    developer.put(path, {"name": "Later", "blocks": [noop("only")]})
    file = developer.get(f"{path}/export", {"format": "dsl", "version": "1.0.0"})
    spelt: Any = read_yaml(file.content.decode()).value
    assert (spelt["version"], spelt["name"]) == ("1.0.0", "Later")
    assert "measure->high:value>10;" in spelt["dsl"].replace(" ", "")
    assert set(spelt["states"]) == {"measure", "high", "low"}
    problem_of(developer.get(f"{path}/export", {"format": "xml"}), 400, "INVALID_QUERY")
    problem_of(developer.get(f"{path}/export", {"version": "9"}), 404, "TEMPLATE_VERSION_NOT_FOUND")


def upload(name: str, content: str | bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content.encode() if isinstance(content, str) else content)


def test_files_are_uploaded_in_a_form(developer: Caller) -> None:
    states = {"states": DSL["states"], "tags": ["graph"]}
    form = {
        "file": upload("choice.wf", str(DSL["dsl"])),
        "states": upload("choice.states.json", json.dumps(states)),
    }
    made = developer.upload("templates/import", form).json()
    assert (made["name"], made["tags"], made["status"]) == ("choice", ["graph"], "active")
    form = {"file": upload("../../etc/two.yaml", "blocks:\n- {blockId: a, toolType: NOOP}\n")}
    assert developer.upload("templates/import", form).json()["name"] == "two"
    named = developer.upload("templates/import?name=Three", {"file": upload("x.json", json.dumps(BLOCKS))})
    assert named.json()["name"] == "Three"


def test_a_text_in_the_dsl_and_yaml_need_a_name(developer: Caller) -> None:
    text = "start->a;\na->end;\n"
    refused = developer.upload("templates/import", text, content_type="text/plain")
    assert problem_of(refused, 422, "INVALID_REQUEST")["errors"][0]["pointer"] == "/name"
    made = developer.upload("templates/import?name=Bare", text, content_type="text/plain; charset=utf-8")
    assert (made.status_code, made.json()["name"]) == (201, "Bare")


def test_an_import_is_a_version_of_ones_own_or_a_new_template(developer: Caller, house: House) -> None:
    path = made(developer, {"name": "T", "blocks": [noop("a")]})
    changed = {"name": "T", "blocks": [noop("b")], "changeNote": "From a file"}
    version = developer.post("templates/import", changed)
    assert (version.status_code, version.json()["version"], version.json()["created"]) == (
        200,
        "1.1.0",
        False,
    )
    assert version.json()["templateId"] == path.removeprefix("templates/")
    new = developer.post("templates/import?new=true", changed)
    assert (new.status_code, new.json()["version"]) == (201, "1.0.0")
    other = house.caller(Role.ADMIN).post("templates/import", changed)
    assert other.status_code == 201, "others' templates are left alone"
    problem_of(house.caller(Role.VIEWER).post("templates/import", changed), 403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        ("blocks: [", "application/yaml", 422, "WORKFLOW_FILE_INVALID"),
        ("a: &x [*x]", "application/yaml", 422, "WORKFLOW_FILE_INVALID"),
        ("- 1", "text/yaml", 422, "WORKFLOW_FILE_INVALID"),
        (b"\xff\xfe", "application/x-yaml", 422, "WORKFLOW_FILE_INVALID"),
        ("{", "application/json", 400, "MALFORMED_BODY"),
        ("start=>a;", "text/plain", 422, "DSL_SYNTAX_ERROR"),
        ("<a/>", "application/xml", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("x" * 1_100_000, "text/plain", 413, "BODY_TOO_LARGE"),
        ("x", "multipart/form-data; boundary=b", 422, "WORKFLOW_FILE_INVALID"),
        ("x", "multipart/form-data", 400, "BAD_REQUEST"),
        ({}, "", 422, "WORKFLOW_FILE_INVALID"),
        ({"file": "a text"}, "", 422, "WORKFLOW_FILE_INVALID"),
        ({"file": ("x.exe", "x")}, "", 422, "WORKFLOW_FILE_INVALID"),
        ({"file": ("x.yaml", "blocks: []"), "more": "1"}, "", 422, "WORKFLOW_FILE_INVALID"),
        ({"file": ("x.yaml", "blocks: []"), "states": ("s.yaml", "a: 1")}, "", 422, "WORKFLOW_FILE_INVALID"),
    ],
)
def test_what_is_no_workflow_is_refused(
    developer: Caller, content: Any, content_type: str, status: int, code: str
) -> None:
    if isinstance(content, dict):
        content = {
            key: upload(*value) if isinstance(value, tuple) else value for key, value in content.items()
        }
        answer = developer.upload("templates/import?name=N", content)
    else:
        answer = developer.upload("templates/import?name=N", content, content_type=content_type)
    problem_of(answer, status, code)
    assert developer.get("templates").json()["total"] == 0

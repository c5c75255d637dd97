"""Scripts and schemas are pinned: a version runs what it was written with, whatever lies on disk later."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from executions_app.models import BlockOutput, Execution
from executions_app.services.executions import start_execution
from templates_app.models import Template, TemplateVersion
from templates_app.pinned_files import pinned_contents
from templates_app.services.templates import add_version, clone_template, create_template, roll_back
from templates_app.services.validation import validate_definition
from templates_app.yaml_documents import read_yaml
from tests.caller import problem_of
from tests.driver import run_until_quiet
from tests.house import House, make_house
from workflow_service.accounts.models import Role
from workflow_service.agents.limits import tool_limits
from workflow_service.artifacts.models import Artifact, PinnedContent
from workflow_service.artifacts.run_files import ArtifactsOfRun
from workflow_service.engine.documents import load_definition


@pytest.fixture
def house(transactional_db: None) -> House:
    return make_house()


@pytest.fixture
def scripts(house: House) -> Path:
    directory = tool_limits().scripts_dir / house.workspace.public_id
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def schemas(house: House) -> Path:
    directory = tool_limits().files_dir / house.workspace.public_id
    directory.mkdir(parents=True)
    return directory


SCRIPT = {"blockId": "work", "toolType": "SCRIPT", "configuration": {"script": "work.py"}}
CHECK = {
    "blockId": "check",
    "toolType": "USE_CASE",
    "configuration": {"useCase": "data.validate", "input": {"records": [{"n": 1}], "schemaFile": "n.json"}},
}


def body(*blocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": "Pinned", "blocks": list(blocks), **fields}


def ran(template: Template, version: TemplateVersion | None = None) -> Execution:
    started = start_execution(
        workspace=template.workspace, actor=template.owner, template=template, version=version, input={}
    )
    return run_until_quiet(started.execution)


def answer_of(template: Template, version: TemplateVersion | None = None) -> Any:
    run = ran(template, version)
    assert run.status == "COMPLETED", run.error
    return BlockOutput.objects.get(block_execution__execution=run).value


def test_a_version_runs_the_script_it_was_written_with(house: House, scripts: Path) -> None:
    script = scripts / "work.py"
    script.write_text("print('{\"says\": 1}')")
    template = create_template(workspace=house.workspace, actor=house.developer, body=body(SCRIPT))
    first = template.current_version
    assert first is not None
    script.write_text("print('{\"says\": 2}')")
    assert answer_of(template) == {"says": 1}
    script.unlink()
    assert answer_of(template) == {"says": 1}
    script.write_text("print('{\"says\": 2}')")
    # The same definition with another script is another version.
    second = add_version(template=template, actor=house.developer, body=body(SCRIPT))
    assert (second.label, second.definition_sha256) == ("1.1.0", first.definition_sha256)
    assert add_version(template=template, actor=house.developer, body=body(SCRIPT)) == second
    template.refresh_from_db()
    assert answer_of(template) == {"says": 2}
    assert answer_of(template, first) == {"says": 1}
    copy = clone_template(template=template, actor=house.developer, version=first)
    assert copy.current_version is not None
    assert copy.current_version.pinned == first.pinned
    rolled = roll_back(template=template, actor=house.developer, version=first)
    assert rolled.current_version is not None
    assert rolled.current_version.pinned == first.pinned != second.pinned
    assert PinnedContent.objects.count() == 2


def test_a_schema_is_pinned_too(house: House, schemas: Path) -> None:
    schema = schemas / "n.json"
    schema.write_text('{"properties": {"n": {"type": "integer"}}}')
    template = create_template(workspace=house.workspace, actor=house.developer, body=body(CHECK))
    schema.write_text('{"properties": {"n": {"type": "string"}}}')
    assert answer_of(template)["valid"] is True


def test_files_that_come_with_a_template_are_pinned_and_given_back(house: House) -> None:
    # A name that a page could take for something else.
    odd = {"blockId": "odd", "toolType": "SCRIPT", "configuration": {"script": "items"}}
    files = {"scripts": {"work.py": "print(3)", "items": "print(1)"}}
    given = body(SCRIPT, CHECK, odd, files=files)
    answer = house.caller().post("templates", given)
    assert answer.status_code == 201, answer.content
    (finding,) = [one for one in answer.json()["findings"] if one["type"] == "FILE_MISSING"]
    assert "n.json" in finding["message"]
    template = Template.objects.get()
    version = template.current_version
    assert version is not None
    definition = load_definition(version.definition)
    contents = pinned_contents(version.pinned, definition, house.workspace.pk)
    assert contents == {**files, "schemas": {"n.json": None}}
    # Imported elsewhere, it is the same; what is null is looked for there.
    other = make_house()
    copy = other.caller().post("templates", body(SCRIPT, CHECK, odd, files=contents))
    assert copy.status_code == 201, copy.content
    assert TemplateVersion.objects.get(template__workspace=other.workspace).pinned == version.pinned
    # Sent again without them, it keeps what it has.
    assert add_version(template=template, actor=house.developer, body=body(SCRIPT, CHECK, odd)) == version
    shown = house.caller().get(f"templates/{template.public_id}/versions/{version.label}").json()
    assert shown["pinned"] == version.pinned
    admin = house.members[Role.ADMIN]
    admin.is_staff = True
    admin.save()
    browser = Client()
    browser.force_login(admin)
    page = browser.get(f"/admin/templates_app/template/{template.pk}/change/").content.decode()
    assert version.pinned["scripts"]["work.py"] in page
    exported = house.caller().get(f"templates/{template.public_id}/export", {"format": "yaml"}).content
    told: Any = read_yaml(exported.decode()).value
    assert told["files"] == contents
    assert [one.code for one in validate_definition(definition, house.workspace, template)] == [
        "FILE_MISSING"
    ]


@pytest.mark.parametrize(
    ("files", "pointer"),
    [
        ({"scripts": []}, "/files/scripts"),
        ({"programs": {}}, "/files/programs"),
        ({"scripts": {"a/b.py": 1}}, "/files/scripts/a~1b.py"),
    ],
)
def test_what_is_no_file_is_refused(house: House, files: Any, pointer: str) -> None:
    problem = problem_of(house.caller().post("templates", body(SCRIPT, files=files)), 422, "INVALID_REQUEST")
    assert [one["pointer"] for one in problem["errors"]] == [pointer]


def test_an_artifact_that_a_version_names_cannot_be_deleted(house: House) -> None:
    made = ArtifactsOfRun(house.workspace.pk, "", "", "k").save("a.csv", BytesIO(b"a\n1\n"), "text/csv")
    block = {
        "blockId": "read",
        "toolType": "USE_CASE",
        "configuration": {"useCase": "csv.read", "file": made.artifact_id},
    }
    create_template(workspace=house.workspace, actor=house.developer, body=body(block))
    path = f"artifacts/{made.artifact_id}"
    problem_of(house.caller(Role.ADMIN).delete(path), 409, "ARTIFACT_PINNED")
    Artifact.objects.get().pins.all().delete()
    assert house.caller(Role.ADMIN).delete(path).status_code == 204

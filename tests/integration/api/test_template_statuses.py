"""The statuses of templates over HTTP: the table, what each lets start, and ETags on the way."""

from typing import Any

from templates_app.models import Template
from tests.caller import Caller, problem_of
from tests.factories import noop
from workflow_service.engine.states import TEMPLATE_TRANSITIONS, TemplateStatus

T = TemplateStatus
# By which call a template comes into a status.
COMMANDS = {T.ACTIVE: "publish", T.DEPRECATED: "deprecate", T.ARCHIVED: "DELETE", T.DRAFT: "restore"}


def create(caller: Caller, **fields: Any) -> str:
    answer = caller.post("templates", {"name": "T", "blocks": [noop("a")]} | fields)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["templateId"])


def bring(caller: Caller, template_id: str, status: TemplateStatus, **headers: str) -> Any:
    path = f"templates/{template_id}"
    if COMMANDS[status] == "DELETE":
        return caller.delete(path, **headers)
    return caller.post(f"{path}/{COMMANDS[status]}", **headers)


# How a new template comes into each status.
WAYS: dict[TemplateStatus, tuple[TemplateStatus, ...]] = {
    T.DRAFT: (),
    T.ACTIVE: (T.ACTIVE,),
    T.DEPRECATED: (T.ACTIVE, T.DEPRECATED),
    T.ARCHIVED: (T.ARCHIVED,),
}


def test_a_template_goes_along_the_arrows_of_the_table_and_no_others(developer: Caller) -> None:
    for old, way in WAYS.items():
        for new in T:
            template_id = create(developer, status="draft")
            for step in way:
                assert bring(developer, template_id, step).status_code in (200, 204)
            answer = bring(developer, template_id, new)
            now = developer.get(f"templates/{template_id}").json()["status"]
            if new is old or new in TEMPLATE_TRANSITIONS[old]:
                assert answer.status_code in (200, 204), (old, new, answer.content)
                assert now == new, (old, new)
            else:
                assert answer.status_code == 409, (old, new)
                assert answer.json()["code"] in ("ILLEGAL_TRANSITION", "TEMPLATE_ARCHIVED")
                assert now == old, (old, new)


def test_a_status_is_not_changed_under_a_stale_etag(developer: Caller) -> None:
    template_id = create(developer)
    old = developer.get(f"templates/{template_id}")["ETag"]
    tag = bring(developer, template_id, T.DEPRECATED, **{"If-Match": old})["ETag"]
    assert tag != old
    for status in (T.ACTIVE, T.DEPRECATED, T.ARCHIVED, T.DRAFT):
        problem_of(bring(developer, template_id, status, **{"If-Match": old}), 412, "STALE_TEMPLATE")
    again = bring(developer, template_id, T.DEPRECATED, **{"If-Match": tag})
    assert again["ETag"] == tag, "twice is once"


def test_a_deprecated_template_starts_with_a_warning_and_an_archived_one_does_not(developer: Caller) -> None:
    template_id = create(developer)
    start = {"templateId": template_id}
    assert developer.post("executions", start).json()["warnings"] == []
    note = {"note": "use tpl_better"}
    assert (
        developer.post(f"templates/{template_id}/deprecate", note).json()["deprecationNote"] == note["note"]
    )
    started = developer.post("executions", start)
    (warning,) = started.json()["warnings"]
    assert (started.status_code, warning["type"], warning["severity"]) == (
        202,
        "TEMPLATE_DEPRECATED",
        "WARNING",
    )
    assert warning["suggestion"] == note["note"]
    checked = developer.post(f"templates/{template_id}/validate").json()
    assert (checked["valid"], checked["issues"][0]["type"]) == (True, "TEMPLATE_DEPRECATED")
    developer.delete(f"templates/{template_id}")
    problem_of(developer.post("executions", start), 422, "TEMPLATE_NOT_RUNNABLE")
    kept = developer.get("executions", {"templateId": template_id}).json()["executions"]
    assert [run["templateVersion"] for run in kept] == ["1.0.0", "1.0.0"], (
        "an archived template keeps its runs"
    )
    assert developer.get(f"executions/{kept[0]['executionId']}").status_code == 200


def test_a_run_is_started_at_a_version(developer: Caller) -> None:
    start = {"templateId": create(developer)}
    developer.put(f"templates/{start['templateId']}", {"name": "T", "blocks": [noop("b")]})
    for name, label in (("1.0.0", "1.0.0"), ("2", "1.1.0"), (None, "1.1.0")):
        body = start | ({"version": name} if name else {})
        assert developer.post("executions", body).json()["templateVersion"] == label
    problem_of(developer.post("executions", start | {"version": "7"}), 404, "TEMPLATE_VERSION_NOT_FOUND")


def test_a_workflow_that_starts_a_deprecated_one_is_warned_and_runs(developer: Caller) -> None:
    child = create(developer)
    block = {"blockId": "call", "toolType": "SUBWORKFLOW", "configuration": {"template": child}}
    parent = create(developer, blocks=[block])
    bring(developer, child, T.DEPRECATED)
    (issue,) = developer.post(f"templates/{parent}/validate").json()["issues"]
    assert (issue["type"], issue["severity"], issue["blockId"]) == ("TEMPLATE_DEPRECATED", "WARNING", "call")
    assert issue["pointer"] == "/blocks/0/configuration/template"
    assert developer.post("executions", {"templateId": parent}).status_code == 202


def test_a_status_is_written_where_the_table_allows_it(developer: Caller) -> None:
    template_id = create(developer)
    path = f"templates/{template_id}"

    def put(status: str) -> Any:
        return developer.put(path, {"name": "T", "blocks": [noop("a")], "status": status})

    assert put("deprecated").json()["status"] == "deprecated"
    shown = developer.get(path).json()
    assert developer.put(path, shown).json()["status"] == "deprecated", "read and sent back"
    changed = developer.put(path, {"name": "T", "blocks": [noop("b")]}).json()
    assert (changed["status"], changed["version"]) == ("deprecated", "1.1.0"), "it stays what it is"
    problem_of(put("draft"), 409, "ILLEGAL_TRANSITION")
    assert problem_of(put("archived"), 422, "INVALID_REQUEST")["errors"][0]["pointer"] == "/status"
    assert put("active").json()["status"] == "active"
    new = developer.post("templates", {"name": "T", "blocks": [noop("a")], "status": "deprecated"})
    assert problem_of(new, 422, "INVALID_REQUEST")["errors"][0]["pointer"] == "/status"


def test_what_comes_back_from_the_archive_is_checked_before_it_runs(developer: Caller) -> None:
    template_id = create(developer)
    bring(developer, template_id, T.ARCHIVED)
    assert Template.objects.get().archived_at is not None
    restored = developer.post(f"templates/{template_id}/restore").json()
    assert restored["status"] == "draft"
    assert Template.objects.get().archived_at is None
    problem_of(developer.post("executions", {"templateId": template_id}), 422, "TEMPLATE_NOT_RUNNABLE")
    assert developer.post(f"templates/{template_id}/publish").json()["status"] == "active"

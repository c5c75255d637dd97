"""Executions over HTTP: starting once, waiting, reading whole runs, logs and events."""

import threading
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from executions_app.models import Execution, ExecutionLog
from tests.caller import Caller, problem_of
from tests.driver import run_until_quiet
from tests.factories import branch, make_template, noop, start
from tests.house import House, make_house
from workflow_service.accounts.models import Role

CHAIN = [
    noop("extract", {"rows": 3}),
    noop(
        "check",
        {"good": True},
        dependencies=["extract"],
        conditions={"branches": [branch("good", "load"), branch(None, "stop")]},
    ),
    noop("load"),
    noop("stop"),
]


@pytest.fixture
def house(transactional_db: None) -> House:
    return make_house()


def create(caller: Caller, *blocks: dict[str, Any], **fields: Any) -> str:
    answer = caller.post("templates", {"name": "T", "blocks": list(blocks) or [noop("a")], **fields})
    return str(answer.json()["templateId"])


def test_a_start_answers_202_and_says_where_to_look(developer: Caller, house: House) -> None:
    template_id = create(developer, *CHAIN, metadata={"estimatedDuration": 1800})
    answer = developer.post("executions", {"templateId": template_id, "input": {"who": "Ada"}})
    assert answer.status_code == 202
    body = answer.json()
    assert answer["Location"] == f"/api/v1/executions/{body['executionId']}"
    assert (body["status"], body["nextBlocks"], body["estimatedDuration"]) == ("STARTING", ["extract"], 1800)
    assert developer.get(answer["Location"]).json()["input"] == {"who": "Ada"}


def test_a_start_may_bound_the_active_time_of_its_run(developer: Caller) -> None:
    answer = developer.post("executions", {"templateId": create(developer), "options": {"timeout": 5_000}})
    run = Execution.objects.get(public_id=answer.json()["executionId"])
    assert run.timeout_ms == 5_000
    assert run.deadline_at is not None


def test_the_same_key_and_body_start_one_run(developer: Caller) -> None:
    body = {"templateId": create(developer), "input": {"n": 1}}
    first = developer.post("executions", body, **{"Idempotency-Key": "k1"})
    run_until_quiet(Execution.objects.get())
    again = developer.post("executions", body, **{"Idempotency-Key": "k1"})
    assert (again.status_code, again.json()) == (202, first.json())
    other = developer.post("executions", body | {"input": {"n": 2}}, **{"Idempotency-Key": "k1"})
    problem_of(other, 409, "IDEMPOTENCY_CONFLICT")
    assert Execution.objects.count() == 1
    assert developer.post("executions", body, **{"Idempotency-Key": "k2"}).json() != first.json()


def test_a_key_of_another_workspace_is_another_key(developer: Caller) -> None:
    body = {"templateId": create(developer)}
    developer.post("executions", body, **{"Idempotency-Key": "k1"})
    stranger = make_house().caller()
    own = {"templateId": create(stranger)}
    assert stranger.post("executions", own, **{"Idempotency-Key": "k1"}).status_code == 202
    assert Execution.objects.count() == 2


def test_waiting_ends_with_the_run(developer: Caller) -> None:
    template_id = create(developer)

    def work() -> None:
        while not (found := Execution.objects.first()):
            threading.Event().wait(0.02)
        run_until_quiet(found)
        connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    body = developer.post("executions?wait=20", {"templateId": template_id}).json()
    worker.join()
    assert body["status"] == "COMPLETED"
    assert body["completedAt"] is not None


def test_waiting_ends_when_a_person_is_asked_and_when_time_is_up(developer: Caller, house: House) -> None:
    quiet = developer.post("executions?wait=0.2", {"templateId": create(developer)}).json()
    assert quiet["status"] == "STARTING"
    asking = create(developer, noop("ask", humanInLoop={"required": True}))

    def work() -> None:
        while not (found := Execution.objects.filter(template__public_id=asking).first()):
            threading.Event().wait(0.02)
        run_until_quiet(found)
        connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    body = developer.post("executions?wait=20", {"templateId": asking}).json()
    worker.join()
    assert body["status"] == "WAITING_FOR_APPROVAL"


def test_a_run_is_pinned_to_the_version_it_names(developer: Caller) -> None:
    template_id = create(developer, noop("old"))
    developer.put(f"templates/{template_id}", {"name": "T", "blocks": [noop("new")]})
    for version, block in (("1.0.0", "old"), (None, "new")):
        named = {} if version is None else {"version": version}
        body = developer.post("executions", {"templateId": template_id, **named}).json()
        assert body["nextBlocks"] == [block]


def test_a_whole_run_is_shown_in_both_documents_shapes(developer: Caller, house: House) -> None:
    template = make_template(CHAIN, workspace=house.workspace)
    execution = run_until_quiet(start(template, {"who": "Ada"}))
    shown = developer.get(f"executions/{execution.public_id}").json()
    assert shown["status"] == "COMPLETED"
    assert shown["progress"] == {
        "totalBlocks": 4,
        "completedBlocks": 3,
        "currentBlocks": 0,
        "failedBlocks": 0,
        "percentage": 100,
    }
    assert shown["completedBlocks"] == ["extract", "check", "load"]
    assert shown["skippedBlocks"] == ["stop"]
    assert shown["globalContext"] == {"rows": 3, "good": True}
    assert [
        block["blockId"] for block in shown["blockExecutions"] if block["status"] == "COMPLETED"
    ] == shown["completedBlocks"]
    assert shown["blockExecutions"][0]["output"] == {"rows": 3}
    assert shown["blockExecutions"][0]["duration"] >= 0
    assert shown["metrics"]["executionTime"] >= 0
    other = developer.get(f"executions/{execution.public_id}", {"view": "b"}).json()
    assert other["states_visited"] == ["start", "extract", "check", "load", "end"]
    assert (other["status"], other["current_state"], other["workflow_id"]) == (
        "completed",
        "end",
        template.pk,
    )
    assert other["initial_context"] == {"who": "Ada"}
    assert other["final_context"] == {"who": "Ada", "rows": 3, "good": True}
    assert (other["error_count"], other["retry_count"]) == (0, 0)


def test_the_door_decides_which_shape_is_the_default(developer: Caller, house: House) -> None:
    execution = start(make_template([noop("a")], workspace=house.workspace))
    path = f"executions/{execution.public_id}"
    assert "executionId" in developer.get(path).json()
    Execution.objects.update(door="b")
    assert "execution_id" in developer.get(path).json()
    assert "executionId" in developer.get(path, {"view": "a"}).json()


def test_people_are_shown_with_their_block(developer: Caller, house: House) -> None:
    template = make_template(
        [noop("load", {"done": 1}, humanInLoop={"required": True})], workspace=house.workspace
    )
    execution = run_until_quiet(start(template))
    path = f"executions/{execution.public_id}"
    waiting = developer.get(path).json()
    assert (waiting["status"], waiting["blockedBlocks"]) == ("WAITING_FOR_APPROVAL", ["load"])
    (asked,) = waiting["blockExecutions"][0]["humanInteractions"]
    assert (asked["type"], asked["respondedAt"], asked["approver"]) == ("APPROVAL", None, None)
    approver = house.caller(Role.APPROVER)
    approval_id = approver.get("approvals/pending").json()["approvals"][0]["approvalId"]
    assert (
        approver.post(f"approvals/{approval_id}/respond", {"approved": True, "comments": "fine"}).status_code
        == 200
    )
    run_until_quiet(execution)
    shown = developer.get(path).json()
    (answered,) = shown["blockExecutions"][0]["humanInteractions"]
    assert shown["status"] == "COMPLETED"
    assert answered["approver"] == house.members[Role.APPROVER].username
    assert answered["respondedAt"] is not None


def test_a_failed_run_says_why(developer: Caller, house: House) -> None:
    failing = {
        "blockId": "bad",
        "toolType": "API",
        "configuration": {"endpoint": "http://127.0.0.1:1/"},
        "retryPolicy": {"maxRetries": 0},
    }
    execution = run_until_quiet(
        start(make_template([failing, noop("after", dependencies=["bad"])], workspace=house.workspace))
    )
    shown = developer.get(f"executions/{execution.public_id}").json()
    assert (shown["status"], shown["failedBlocks"]) == ("FAILED", ["bad"])
    assert shown["error"]["type"]
    assert shown["blockExecutions"][0]["error"]["type"]
    assert shown["progress"]["percentage"] < 100
    errors = developer.get(f"executions/{execution.public_id}/logs", {"level": "error"}).json()
    assert any("bad" in line["message"] for line in errors["logs"])


def test_a_run_takes_the_same_number_of_queries_whatever_its_size(developer: Caller, house: House) -> None:
    def queries(blocks: int) -> int:
        chain = [noop(f"b{n}", {"n": n}, dependencies=[f"b{n - 1}"] if n else []) for n in range(blocks)]
        execution = run_until_quiet(start(make_template(chain, workspace=house.workspace)))
        with CaptureQueriesContext(connection) as captured:
            assert developer.get(f"executions/{execution.public_id}").status_code == 200
        return len(captured)

    assert queries(2) == queries(12)


def log_lines(execution: Execution) -> None:
    for number, (level, block, message) in enumerate(
        [(10, "a", "looking"), (20, "a", "Found 3 rows"), (30, "b", "slow"), (40, "b", "found nothing")]
    ):
        ExecutionLog.objects.create(
            execution_id=execution.pk,
            block_id=block,
            level=level,
            message=message,
            context={"n": number},
            created_at=execution.started_at,
        )


@pytest.mark.parametrize(
    ("query", "messages"),
    [
        ({}, ["looking", "Found 3 rows", "slow", "found nothing"]),
        ({"level": "INFO"}, ["Found 3 rows", "slow", "found nothing"]),
        ({"level": "WARN"}, ["slow", "found nothing"]),
        ({"level": "warning"}, ["slow", "found nothing"]),
        ({"level": "ERROR"}, ["found nothing"]),
        ({"blockId": "a"}, ["looking", "Found 3 rows"]),
        ({"search": "FOUND"}, ["Found 3 rows", "found nothing"]),
        ({"level": "ERROR", "blockId": "a"}, []),
    ],
)
def test_logs_are_filtered(
    developer: Caller, house: House, query: dict[str, str], messages: list[str]
) -> None:
    execution = start(make_template([noop("a")], workspace=house.workspace))
    log_lines(execution)
    body = developer.get(f"executions/{execution.public_id}/logs", query).json()
    assert [line["message"] for line in body["logs"]] == messages
    assert (body["total"], body["hasMore"]) == (len(messages), False)


def test_logs_are_paged(developer: Caller, house: House) -> None:
    execution = start(make_template([noop("a")], workspace=house.workspace))
    log_lines(execution)
    path = f"executions/{execution.public_id}/logs"
    page = developer.get(path, {"limit": 2, "offset": 1}).json()
    assert [line["message"] for line in page["logs"]] == ["Found 3 rows", "slow"]
    assert (page["total"], page["limit"], page["offset"], page["hasMore"]) == (4, 2, 1, True)
    problem_of(developer.get(path, {"level": "loud"}), 400, "INVALID_QUERY")


def test_events_are_read_from_where_one_is(developer: Caller, house: House) -> None:
    execution = run_until_quiet(
        start(make_template([noop("a"), noop("b", dependencies=["a"])], workspace=house.workspace))
    )
    path = f"executions/{execution.public_id}/events"
    body = developer.get(path).json()
    assert [event["seq"] for event in body["events"]] == list(range(1, len(body["events"]) + 1))
    assert body["lastSeq"] == len(body["events"])
    assert (body["events"][0]["type"], body["events"][-1]["type"]) == (
        "execution_started",
        "execution_completed",
    )
    assert {event["executionId"] for event in body["events"]} == {execution.public_id}
    rest = developer.get(path, {"after": 2, "limit": 2}).json()
    assert [event["seq"] for event in rest["events"]] == [3, 4]
    beyond = developer.get(path, {"after": 10_000}).json()
    assert beyond == {"events": [], "lastSeq": body["lastSeq"], "next": 10_000}


def test_the_list_is_filtered_and_paged(developer: Caller, house: House) -> None:
    template = make_template([noop("a")], workspace=house.workspace)
    done = run_until_quiet(start(template))
    open_run = start(make_template([noop("a")], workspace=house.workspace))
    body = developer.get("executions").json()
    assert [run["executionId"] for run in body["executions"]] == [open_run.public_id, done.public_id]
    assert (body["total"], body["limit"], body["offset"]) == (2, 20, 0)
    for query in ({"status": "COMPLETED"}, {"templateId": template.public_id}, {"limit": 1, "offset": 1}):
        found = developer.get("executions", query).json()["executions"]
        assert [run["executionId"] for run in found] == [done.public_id]
    problem_of(developer.get("executions", {"status": "DONE"}), 400, "INVALID_QUERY")


def test_foreign_executions_do_not_exist(house: House) -> None:
    execution = start(make_template([noop("a")], workspace=house.workspace))
    stranger = make_house().caller(Role.ADMIN)
    for path in ("", "/logs", "/events", "/history"):
        problem_of(stranger.get(f"executions/{execution.public_id}{path}"), 404, "EXECUTION_NOT_FOUND")
    assert stranger.get("executions").json()["total"] == 0

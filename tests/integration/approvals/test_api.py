"""Approvals over HTTP, as document A section 5.3 has them."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from approvals_app.models import Approval
from executions_app.models import BlockExecution, Execution
from tests.driver import run_until_quiet
from tests.factories import make_user, make_workspace, noop
from tests.people import People, asking, make_people, question_of, run_asking
from workflow_service.accounts.models import Membership, Role, User


@pytest.fixture
def people(transactional_db: None) -> People:
    return make_people()


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def respond(user: User, approval: Approval, body: Any, **headers: str) -> Any:
    url = f"/api/v1/approvals/{approval.public_id}/respond"
    return signed_in(user).post(url, body, content_type="application/json", headers=headers)


def test_pending_approvals_list_what_waits_for_the_user(people: People) -> None:
    first = question_of(run_asking(people, asking(approvalLevel="MANAGER", message="Sure?")))
    second = question_of(run_asking(people, asking("other", type="INPUT")))
    question_of(run_asking(people, asking(assignees=["user:bob"])))
    body = signed_in(people.alice).get("/api/v1/approvals/pending").json()
    assert [approval["approvalId"] for approval in body["approvals"]] == [second.public_id, first.public_id]
    assert {key: body[key] for key in ("total", "limit", "offset", "hasMore")} == {
        "total": 2,
        "limit": 20,
        "offset": 0,
        "hasMore": False,
    }
    shown = body["approvals"][1]
    assert shown["executionId"] == first.execution.public_id
    assert (shown["blockId"], shown["type"], shown["level"]) == ("load", "APPROVAL", "MANAGER")
    assert (shown["message"], shown["status"], shown["canRespond"]) == ("Sure?", "PENDING", True)
    assert shown["input"] == {"output": {"loaded": True}}


def test_a_list_leaves_out_what_is_large_and_says_where_it_is(people: People) -> None:
    large = {"text": "x" * 5_000}
    asked = asking("large", fields={"toolType": "NOOP", "configuration": {"output": large}})
    approval = question_of(run_asking(people, asked))
    client = signed_in(people.alice)
    for path in ("approvals", "approvals/pending"):
        (shown,) = client.get(f"/api/v1/{path}").json()["approvals"]
        assert (shown["input"], shown["leftOut"]) == (None, ["input"])
        assert shown["message"] == approval.message
        assert client.get(shown["url"]).json()["input"] == {"output": large}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"blockId": "other"}, 1),
        ({"type": "INPUT"}, 1),
        ({"level": "MANAGER"}, 1),
        ({"level": "BOARD"}, 0),
        ({"executionId": "exec_none"}, 0),
        ({"limit": "1"}, 2),
    ],
)
def test_pending_approvals_can_be_filtered(people: People, query: dict[str, str], found: int) -> None:
    run_asking(people, asking(approvalLevel="MANAGER"))
    run_asking(people, asking("other", type="INPUT"))
    body = signed_in(people.alice).get("/api/v1/approvals/pending", query).json()
    assert body["total"] == found
    assert body["hasMore"] is (query == {"limit": "1"})


def test_an_execution_s_own_approvals_can_be_asked_for(people: People) -> None:
    run_asking(people)
    execution = run_asking(people)
    body = signed_in(people.alice).get("/api/v1/approvals/pending", {"executionId": execution.public_id})
    assert [approval["executionId"] for approval in body.json()["approvals"]] == [execution.public_id]


def test_nothing_waits_for_who_cannot_answer(people: People) -> None:
    execution = run_asking(people, asking(fourEyes=True))
    Execution.objects.filter(pk=execution.pk).update(created_by=people.admin)
    for user in (people.developer, people.admin, people.stranger):
        assert signed_in(user).get("/api/v1/approvals/pending").json()["total"] == 0


@pytest.mark.parametrize("query", [{"type": "MAYBE"}, {"limit": "0"}, {"sort": "up"}, {"limit": "x"}])
def test_a_bad_query_is_refused(people: People, query: dict[str, str]) -> None:
    response = signed_in(people.alice).get("/api/v1/approvals/pending", query)
    assert (response.status_code, response.json()["code"]) == (400, "INVALID_QUERY")


def test_one_approval_shows_the_run_so_far(people: People) -> None:
    execution = run_asking(
        people, noop("check", {"bad": 2}, name="Check"), asking(fields={"dependencies": ["check"]})
    )
    approval = question_of(execution)
    operator = make_user(people.workspace, Role.OPERATOR)
    body = signed_in(operator).get(f"/api/v1/approvals/{approval.public_id}").json()
    assert (body["status"], body["canRespond"], body["respondedBy"]) == ("PENDING", False, None)
    assert body["run"]["status"] == "WAITING_FOR_APPROVAL"
    assert [(block["blockId"], block["status"], block["output"]) for block in body["run"]["blocks"]] == [
        ("check", "COMPLETED", {"bad": 2}),
        ("load", "WAITING", None),
    ]


def test_an_answer_lets_the_run_go_on(people: People) -> None:
    execution = run_asking(people)
    approval = question_of(execution)
    answered = respond(people.alice, approval, {"approved": True, "comments": "fine"})
    assert answered.status_code == 200
    assert answered.json() | {"respondedAt": None} == {
        "success": True,
        "approvalId": approval.public_id,
        "executionId": execution.public_id,
        "status": "APPROVED",
        "version": 2,
        "respondedAt": None,
        "respondedBy": "alice",
    }
    assert run_until_quiet(execution).status == "COMPLETED"
    again = respond(people.bob, approval, {"approved": True})
    assert (again.status_code, again.json()["respondedBy"]) == (200, "alice")
    opposite = respond(people.bob, approval, {"approved": False})
    assert (opposite.status_code, opposite.json()["code"]) == (409, "ALREADY_ANSWERED")


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({}, 422, "/approved"),
        ({"approved": "true"}, 422, "/approved"),
        ({"approved": 1}, 422, "/approved"),
        ({"approved": None}, 422, "/approved"),
        ({"approved": True, "response": [1]}, 422, "/response"),
        ({"approved": True, "comments": 5 * ["x"]}, 422, "/comments"),
        ({"approved": True, "comments": "x" * 5_001}, 422, "/comments"),
        ({"approved": True, "comment": "x"}, 422, "/comment"),
        ([True], 400, None),
        ('{"approved": true, "comments": "\\u0000"}', 400, None),
        ('{"approved": true, "response": ' + '{"a":' * 5_000 + "1" + "}" * 5_001, 400, None),
        ('{"approved": true, "response": {"n": NaN}}', 400, None),
        ("{approved", 400, None),
    ],
)
def test_a_bad_answer_is_refused_with_its_place(
    people: People, body: Any, status: int, pointer: str | None
) -> None:
    approval = question_of(run_asking(people))
    response = respond(people.alice, approval, body)
    assert response.status_code == status, response.content
    if pointer:
        assert pointer in [error["pointer"] for error in response.json()["errors"]]
    approval.refresh_from_db()
    assert approval.status == "PENDING"


def test_the_response_is_checked_against_the_workflow_s_schema(people: People) -> None:
    schema = {"type": "object", "properties": {"limit": {"type": "integer"}}, "required": ["limit"]}
    approval = question_of(run_asking(people, asking(type="INPUT", inputSchema=schema)))
    refused = respond(people.alice, approval, {"approved": True, "response": {"limit": "x"}})
    assert (refused.status_code, refused.json()["code"]) == (422, "RESPONSE_INVALID")
    assert refused.json()["errors"][0]["pointer"] == "/limit"
    assert respond(people.alice, approval, {"approved": True, "response": {"limit": 1}}).status_code == 200


def test_who_is_not_asked_is_told_why(people: People) -> None:
    assigned = question_of(run_asking(people, asking(assignees=["user:bob"])))
    operator = make_user(people.workspace, Role.OPERATOR)
    starter = make_user(people.workspace, Role.APPROVER)
    Execution.objects.filter(pk=assigned.execution_id).update(created_by=starter)
    cases = [
        (starter, assigned, 403, "NOT_YOUR_APPROVAL"),
        (operator, assigned, 403, "FORBIDDEN"),
        (people.alice, assigned, 404, "APPROVAL_NOT_FOUND"),
        (people.developer, assigned, 404, "APPROVAL_NOT_FOUND"),
        (people.stranger, assigned, 404, "APPROVAL_NOT_FOUND"),
    ]
    for user, approval, status, code in cases:
        response = respond(user, approval, {"approved": True})
        assert (response.status_code, response.json()["code"]) == (status, code)
    assert Client().get(f"/api/v1/approvals/{assigned.public_id}").status_code == 401
    for name in ("appr_unknown", "appr%00unknown"):
        unknown = signed_in(people.alice).get(f"/api/v1/approvals/{name}")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "APPROVAL_NOT_FOUND")


def test_an_approval_is_looked_for_in_the_workspace_that_is_named(people: People) -> None:
    approval = question_of(run_asking(people))
    elsewhere = make_workspace()
    Membership.objects.create(workspace=elsewhere, user=people.alice, role=Role.APPROVER)
    wrong = respond(people.alice, approval, {"approved": True}, **{"X-Workspace-Id": elsewhere.public_id})
    assert wrong.status_code == 404
    foreign = respond(people.alice, approval, {"approved": True, "workspaceId": make_workspace().public_id})
    assert foreign.status_code == 404
    # Of two workspaces none has to be named: the approval says which.
    assert respond(people.alice, approval, {"approved": True}).status_code == 200


def test_an_answer_after_the_end_of_the_run_is_late(people: People) -> None:
    execution = run_asking(people)
    approval = question_of(execution)
    Execution.objects.filter(pk=execution.pk).update(status="CANCELLED")
    BlockExecution.objects.filter(execution=execution).update(status="CANCELLED")
    response = respond(people.alice, approval, {"approved": True})
    assert (response.status_code, response.json()["code"]) == (409, "APPROVAL_CLOSED")


def test_an_answer_by_session_needs_the_csrf_token(people: People) -> None:
    approval = question_of(run_asking(people))
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.alice)
    url = f"/api/v1/approvals/{approval.public_id}/respond"
    assert client.post(url, {"approved": True}, content_type="application/json").status_code == 403
    assert client.get(url).status_code == 405


def test_the_list_costs_the_same_however_many_there_are(people: People) -> None:
    client = signed_in(make_user(people.workspace, Role.APPROVER))
    counts = []
    for total in (1, 3):
        while Approval.objects.count() < total:
            run_asking(people)
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/api/v1/approvals/pending").json()["total"] == total
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 15


@pytest.mark.parametrize("who", ["anonymous", "stranger", "viewer"])
def test_nobody_else_gets_anything_at_any_address_of_an_approval(people: People, who: str) -> None:
    approval = question_of(run_asking(people, asking(message="Pay 900 to ACME?", assignees=["alice"])))
    viewer = make_user(people.workspace, Role.VIEWER, username="vera", is_staff=True)
    users = {"stranger": people.stranger, "viewer": viewer}
    client = signed_in(users[who]) if who in users else Client()
    api, admin = f"/api/v1/approvals/{approval.public_id}", "/admin/approvals_app/approval"
    reads = [api, f"{api}/history", "/api/v1/approvals", "/api/v1/approvals/pending"]
    reads += [f"{admin}/", *(f"{admin}/{approval.pk}/{page}/" for page in ("change", "history", "delete"))]
    answers = [client.get(address) for address in reads]
    bodies = {
        "respond": {"approved": True},
        "delegate": {"to": "bob"},
        "comment": {"text": "hello"},
    }
    writes = [
        client.post(f"{api}/{name}", body, content_type="application/json") for name, body in bodies.items()
    ]
    writes += [client.post(f"{admin}/{approval.pk}/{name}/", {"decision": "approve"}) for name in bodies]
    assert all(response.status_code in {302, 401, 403, 404} for response in writes)
    for response in answers + writes:
        assert b"ACME" not in response.content, response.request["PATH_INFO"]
        assert approval.public_id.encode() not in response.content or response.status_code >= 400
    assert all(response.json().get("total", 0) == 0 for response in answers[2:4])
    approval.refresh_from_db()
    assert (approval.status, approval.version, approval.involved_ids) == ("PENDING", 1, [])
    assert not approval.votes.exists()

"""Deciding in admin: by POST alone, with the CSRF token, one by one or many at once."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from approvals_app.models import Approval
from executions_app.models import Execution
from tests.driver import run_until_quiet
from tests.factories import make_template, make_workspace, start
from tests.people import People, asking, make_people, question_of, run_asking
from workflow_service.accounts.models import User

INBOX = "/admin/approvals_app/approval/"


@pytest.fixture
def people(transactional_db: None) -> People:
    return make_people()


def signed_in(user: User, *, csrf: bool = False) -> Client:
    client = Client(enforce_csrf_checks=csrf)
    client.force_login(user)
    return client


def respond_path(approval: Approval) -> str:
    return f"{INBOX}{approval.pk}/respond/"


def decide(user: User, approval: Approval, **form: str) -> Any:
    return signed_in(user).post(respond_path(approval), form, follow=True)


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def status_of(approval: Approval) -> str:
    approval.refresh_from_db()
    return str(approval.status)


def test_approving_lets_the_run_go_on(people: People) -> None:
    execution = run_asking(people)
    approval = question_of(execution)
    response = decide(people.alice, approval, decision="approve", comments="go on")
    assert messages_of(response) == ["Approved: Load rows."]
    approval.refresh_from_db()
    assert (approval.status, approval.responded_by, approval.comments, approval.source) == (
        "APPROVED",
        people.alice,
        "go on",
        "admin",
    )
    assert run_until_quiet(execution).status == "COMPLETED"


def test_rejecting_ends_it(people: People) -> None:
    execution = run_asking(people)
    response = decide(people.alice, question_of(execution), decision="reject")
    assert messages_of(response) == ["Rejected: Load rows."]
    assert run_until_quiet(execution).status == "FAILED"


def test_looking_decides_nothing(people: People) -> None:
    approval = question_of(run_asking(people))
    client = signed_in(people.alice)
    for path in (
        respond_path(approval),
        f"{respond_path(approval)}?decision=approve",
        f"{INBOX}{approval.pk}/change/?decision=approve",
        f"{INBOX}?action=approve_selected&_selected_action={approval.pk}&confirmed=yes",
    ):
        assert client.get(path).status_code in (200, 302, 405)
        assert status_of(approval) == "PENDING"
    assert client.get(respond_path(approval)).status_code == 405
    assert client.head(respond_path(approval)).status_code == 405


def test_an_answer_needs_the_csrf_token(people: People) -> None:
    approval = question_of(run_asking(people))
    client = signed_in(people.alice, csrf=True)
    assert client.post(respond_path(approval), {"decision": "approve"}).status_code == 403
    form = {"action": "approve_selected", "_selected_action": str(approval.pk), "confirmed": "yes"}
    assert client.post(INBOX, form).status_code == 403
    assert status_of(approval) == "PENDING"
    token = client.get(f"{INBOX}{approval.pk}/change/").context["csrf_token"]
    answered = client.post(respond_path(approval), {"decision": "approve", "csrfmiddlewaretoken": str(token)})
    assert answered.status_code == 302
    assert status_of(approval) == "APPROVED"


@pytest.mark.parametrize("decision", ["", "maybe", "APPROVE"])
def test_an_answer_that_is_none_changes_nothing(people: People, decision: str) -> None:
    approval = question_of(run_asking(people))
    response = decide(people.alice, approval, decision=decision)
    assert messages_of(response) == ["The answer must be one of those that the form offers."]
    assert status_of(approval) == "PENDING"


def test_a_second_answer_is_told_what_stands(people: People) -> None:
    approval = question_of(run_asking(people))
    decide(people.alice, approval, decision="approve")
    response = decide(people.bob, approval, decision="reject")
    assert "already approved by alice" in messages_of(response)[0]


def test_who_may_not_answer_is_refused(people: People) -> None:
    approval = question_of(run_asking(people, asking(assignees=["user:bob"])))
    for starter, words in ((people.alice, "assigned to user:bob"), (people.developer, "approval:respond")):
        Execution.objects.filter(pk=approval.execution_id).update(created_by=starter)
        assert words in messages_of(decide(starter, approval, decision="approve"))[0]
    refused = signed_in(people.stranger).post(respond_path(approval), {"decision": "approve"})
    assert refused.status_code == 404
    anonymous = Client().post(respond_path(approval), {"decision": "approve"})
    assert anonymous["Location"].startswith("/admin/login/")
    assert status_of(approval) == "PENDING"


SCHEMA = {
    "type": "object",
    "required": ["limit", "mode"],
    "properties": {
        "limit": {"type": "integer", "minimum": 1},
        "mode": {"enum": ["strict", "lenient"]},
        "notify": {"type": "boolean"},
        "until": {"type": "string", "format": "date"},
        "more": {"type": "object"},
    },
}


def test_a_form_asks_for_what_the_schema_names(people: People) -> None:
    approval = question_of(run_asking(people, asking(type="INPUT", inputSchema=SCHEMA)))
    html = signed_in(people.alice).get(f"{INBOX}{approval.pk}/change/").content.decode()
    for control in (
        '<input id="id_response.limit" name="response.limit" type="number"',
        '<select id="id_response.mode" name="response.mode" required',
        '<select id="id_response.notify"',
        'name="response.until" type="date"',
        '<textarea id="id_response.more"',
    ):
        assert control in html
    form = {
        "response.limit": "500",
        "response.mode": "strict",
        "response.notify": "true",
        "response.until": "",
        "response.more": '{"a": [1]}',
    }
    decide(people.alice, approval, decision="submit", **form)
    approval.refresh_from_db()
    assert approval.response == {"limit": 500, "mode": "strict", "notify": True, "more": {"a": [1]}}


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"response.limit": "0", "response.mode": "strict"}, "less than the minimum of 1"),
        ({"response.limit": "many", "response.mode": "strict"}, "must be a whole number"),
        ({"response.limit": "NaN", "response.mode": "strict"}, "must be a whole number"),
        ({"response.limit": "1", "response.mode": "<b>odd</b>"}, "is not one of"),
        ({"response.limit": "1"}, "is needed"),
        ({"response.limit": "1", "response.mode": "strict", "response.more": "{" * 300}, "nested deeper"),
        ({"response.limit": "1", "response.mode": "strict", "response.until": "soon"}, "is not a &#x27;date"),
    ],
)
def test_a_response_that_does_not_fit_is_shown_again_with_its_place(
    people: People, form: dict[str, str], problem: str
) -> None:
    approval = question_of(run_asking(people, asking(type="INPUT", inputSchema=SCHEMA)))
    response = decide(people.alice, approval, decision="submit", comments="kept", **form)
    html = response.content.decode()
    assert response.status_code == 422
    assert problem in html
    assert 'role="alert"' in html
    assert ">kept</textarea>" in html
    assert "<b>odd" not in html
    assert status_of(approval) == "PENDING"


def test_a_schema_of_no_plain_fields_takes_json(people: People) -> None:
    schema = {"type": "object", "minProperties": 1}
    approval = question_of(run_asking(people, asking(type="INPUT", inputSchema=schema)))
    for text, words in (
        ("[1]", "must be a JSON object"),
        ("{", "is not JSON"),
        ("{}", "should be non-empty"),
    ):
        response = decide(people.alice, approval, decision="submit", response=text)
        assert response.status_code == 422
        assert words in response.content.decode()
    decide(people.alice, approval, decision="submit", response='{"a": 1}')
    assert status_of(approval) == "APPROVED"


def bulk_form(approvals: list[Approval], *, approve: bool = True) -> dict[str, Any]:
    """Return what the buttons under the list send: both actions, and the number of the one that was pressed."""
    return {
        "action": ["approve_selected", "reject_selected"],
        "index": "0" if approve else "1",
        "_selected_action": [str(approval.pk) for approval in approvals],
    }


def confirmed(html: str, **more: Any) -> dict[str, Any]:
    """Return what the page that asks once more would send."""
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', html)
    form: dict[str, Any] = {"_selected_action": []}
    for name, value in fields:
        if name == "_selected_action":
            form[name].append(value)
        elif name != "csrfmiddlewaretoken":
            form[name] = value
    return form | more


def words_of(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def test_many_are_answered_at_once_after_asking_again(people: People) -> None:
    plain = [question_of(run_asking(people)) for _ in range(2)]
    form = question_of(run_asking(people, asking("ask", type="INPUT", inputSchema=SCHEMA)))
    foreign = question_of(run_asking(replace(people, workspace=make_workspace())))
    client = signed_in(people.alice)
    asked = client.post(INBOX, bulk_form([*plain, form, foreign]))
    assert "Approve 2 of 3 selected?" in words_of(asked)
    assert "left as it is : its form has to be filled in" in words_of(asked)
    assert [status_of(approval) for approval in plain] == ["PENDING", "PENDING"]
    decide(people.bob, plain[1], decision="reject")
    sent = confirmed(asked.content.decode(), comments="all fine")
    sent["_selected_action"].append(str(foreign.pk))
    report = client.post(INBOX, sent)
    words = words_of(report)
    assert "Approved 1 of 3" in words
    assert f"approval {plain[1].public_id} was already rejected by bob" in words.lower()
    assert "1 of the selected is not there for you." in words
    assert [status_of(approval) for approval in (*plain, form, foreign)] == [
        "APPROVED",
        "REJECTED",
        "PENDING",
        "PENDING",
    ]
    assert plain[0].comments == "all fine"


def test_what_was_answered_alike_meanwhile_is_not_claimed(people: People) -> None:
    approval = question_of(run_asking(people))
    client = signed_in(people.alice)
    sent = confirmed(client.post(INBOX, bulk_form([approval])).content.decode())
    decide(people.bob, approval, decision="approve")
    words = words_of(client.post(INBOX, sent))
    assert "Approved 0 of 1" in words
    assert "Not answered by you Approved by bob" in words


def test_many_are_rejected_at_once(people: People) -> None:
    approvals = [question_of(run_asking(people)) for _ in range(2)]
    client = signed_in(people.alice)
    asked = client.post(INBOX, bulk_form(approvals, approve=False))
    assert "Rejected 2 of 2" in words_of(client.post(INBOX, confirmed(asked.content.decode())))
    assert [status_of(approval) for approval in approvals] == ["REJECTED", "REJECTED"]


@pytest.mark.parametrize(
    "sent", [["x", "-1", "9" * 30], ["\N{DIGIT ONE}\N{SUPERSCRIPT TWO}"], [""]], ids=["odd", "digit", "none"]
)
def test_a_selection_that_names_nothing_answers_nothing(people: People, sent: list[str]) -> None:
    approval = question_of(run_asking(people))
    form = {"action": "approve_selected", "confirmed": "yes", "_selected_action": sent}
    assert signed_in(people.alice).post(INBOX, form).status_code == 404
    assert status_of(approval) == "PENDING"


def test_who_only_reads_is_offered_no_answers(people: People) -> None:
    run_asking(people)
    html = signed_in(people.developer).get(INBOX).content.decode()
    assert "approve_selected" not in html


def test_the_tabs_hold_what_their_names_say(people: People) -> None:
    first = question_of(run_asking(people, asking(message="first")))
    answered = question_of(run_asking(people, asking(message="second")))
    decide(people.alice, answered, decision="approve")
    run_asking(people, asking(message="third", assignees=["user:bob"]))
    Approval.objects.filter(pk=first.pk).update(due_at=first.requested_at)
    run_asking(people, asking(message="fourth", assignees=["user:alice"]))
    run_asking(people, asking(message="fifth", assignees=["role:workflow_approver"]))
    shown = {
        tab: re.findall(
            r'wf-asked">(\w+)<', signed_in(people.alice).get(INBOX, {"inbox": tab}).content.decode()
        )
        for tab in ("mine", "groups", "overdue", "all", "nonsense")
    }
    assert shown == {
        "mine": ["first", "fourth", "fifth"],
        "groups": ["first", "fifth"],
        "overdue": ["first"],
        "all": ["fifth", "fourth", "first", "second"],
        "nonsense": shown["mine"],
    }
    page = signed_in(people.alice).get(INBOX)
    assert [(one.tab, one.count) for one in page.context["tabs"]] == [
        ("mine", 3),
        ("groups", 2),
        ("overdue", 1),
        ("all", 4),
    ]
    assert status_of(first) == "PENDING"


def news(user: User, **query: Any) -> dict[str, Any]:
    response = signed_in(user).get(f"{INBOX}news/", query)
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


def test_an_open_inbox_learns_what_came_and_what_went(people: People) -> None:
    old = [question_of(run_asking(people)) for _ in range(2)]
    shown = ",".join(str(approval.pk) for approval in old)
    seen = news(people.alice, inbox="mine", shown=shown)
    assert (seen["closed"], seen["counts"]["mine"]) == ({}, 2)
    assert news(people.alice, inbox="mine", shown=shown, after=seen["after"])["new"] == 0
    run_asking(people)
    run_asking(people, asking(assignees=["user:bob"]))
    decide(people.bob, old[0], decision="reject")
    told = news(people.alice, inbox="mine", shown=shown, after=seen["after"])
    assert told["new"] == 1
    assert told["closed"] == {str(old[0].pk): {"words": "Rejected by bob", "tone": "bad"}}
    assert told["counts"] == {"mine": 2, "groups": 2, "overdue": 0, "all": 3}
    assert told["after"] > seen["after"]


def test_news_are_of_what_one_may_see(people: People) -> None:
    approval = question_of(run_asking(people))
    decide(people.bob, approval, decision="approve")
    told = news(people.stranger, inbox="all", shown=str(approval.pk))
    assert (told["new"], told["closed"], told["counts"]["all"]) == (0, {}, 0)
    odd = news(people.alice, inbox="\x00", shown="x,-1,\x00," + "9" * 40, after="1; drop")
    assert odd["closed"] == {}
    assert Client().get(f"{INBOX}news/").status_code == 302


def page_of(user: User, approval: Approval) -> str:
    return str(signed_in(user).get(f"{INBOX}{approval.pk}/change/").content.decode())


def test_a_question_is_handed_on_and_talked_about_from_its_page(people: People) -> None:
    approval = question_of(run_asking(people, asking(assignees=["user:alice"])))
    assert signed_in(people.bob).get(f"{INBOX}{approval.pk}/change/").status_code == 302
    client = signed_in(people.alice)
    act = f"{INBOX}{approval.pk}/"
    assert client.get(f"{act}delegate/").status_code == client.get(f"{act}comment/").status_code == 405
    told = [
        messages_of(client.post(f"{act}{door}/", form, follow=True))[0]
        for door, form in (
            ("comment", {"comments": " "}),
            ("comment", {"comments": "Is it <b>paid</b>?"}),
            ("delegate", {"to": "nobody"}),
            ("delegate", {"to": "bob", "comments": "you know them"}),
        )
    ]
    assert told == [
        "The comment is empty.",
        "Said.",
        "Nobody called 'nobody' answers approvals in this workspace.",
        "Handed to bob.",
    ]
    html = page_of(people.bob, approval)
    assert "handed it to bob" in html
    assert "you know them" in html
    assert "Is it &lt;b&gt;paid&lt;/b&gt;?" in html
    assert messages_of(decide(people.bob, approval, decision="approve")) == ["Approved: Load rows."]
    assert signed_in(people.stranger).post(f"{act}comment/", {"comments": "x"}).status_code == 404


def test_an_answer_to_what_has_changed_meanwhile_is_asked_for_again(people: People) -> None:
    approval = question_of(run_asking(people))
    seen = str(approval.version)
    signed_in(people.bob).post(f"{INBOX}{approval.pk}/delegate/", {"to": "ada"})
    again = decide(people.alice, approval, decision="approve", version=seen, comments="kept")
    html = again.content.decode()
    assert again.status_code == 409
    assert "changed while you looked at it" in html
    assert ">kept</textarea>" in html
    assert status_of(approval) == "PENDING"
    form = dict(re.findall(r'<input type="hidden" name="(version)" value="(\d+)"', html))
    decide(people.alice, approval, decision="approve", **form)
    assert status_of(approval) == "APPROVED"


def test_a_quorum_says_how_many_answers_are_there(people: People) -> None:
    execution = run_asking(people, asking(quorum=2))
    approval = question_of(execution)
    assert "<strong>0 of 2</strong>" in page_of(people.alice, approval)
    assert messages_of(decide(people.alice, approval, decision="approve")) == [
        "Your answer counts, others have to answer too: Load rows."
    ]
    html = page_of(people.alice, approval)
    assert "You have answered." in html
    assert 'name="decision"' not in html
    assert "<strong>1 of 2</strong> needed have approved: alice approves." in page_of(people.bob, approval)
    assert signed_in(people.alice).get(INBOX).context["tabs"][0].count == 0
    decide(people.bob, approval, decision="approve")
    assert status_of(approval) == "APPROVED"


def test_a_page_leads_to_the_next_question(people: People) -> None:
    first, second = (question_of(run_asking(people, asking(message=name))) for name in ("first", "second"))
    assert "Next for you" not in page_of(people.alice, first)
    html = decide(people.alice, first, decision="approve").content.decode()
    assert f'<a href="{INBOX}{second.pk}/change/">Next for you: <span>second</span>' in html


def test_an_edit_of_an_output_is_shown_beside_what_was_proposed(people: People) -> None:
    letter = asking(
        "letter", type="REVIEW", fields={"configuration": {"output": {"to": "Ada", "discount": 18}}}
    )
    approval = question_of(run_asking(people, letter))
    html = page_of(people.alice, approval)
    assert "The output under review" in html
    assert "What was changed" not in html
    form = {"output.to": "Ada", "output.discount": "15"}
    client = signed_in(people.alice)
    preview = client.post(respond_path(approval), {"decision": "preview", "comments": "kept", **form})
    words = words_of(preview)
    assert "Your changes, not sent yet" in words
    assert "\N{MINUS SIGN} &quot;discount&quot;: 18, + &quot;discount&quot;: 15," in words
    assert ">kept</textarea>" in preview.content.decode()
    broken = client.post(respond_path(approval), {"decision": "preview", "output.discount": "{"})
    assert 'aria-invalid="true"' in broken.content.decode()
    assert status_of(approval) == "PENDING"
    decide(people.alice, approval, decision="change", **form)
    approval.refresh_from_db()
    assert (approval.status, approval.response) == ("APPROVED", {"output": {"to": "Ada", "discount": 15}})
    assert "What was changed" in page_of(people.bob, approval)


def test_an_approver_is_offered_what_they_may_mend_and_told_at_its_field_what_not(people: People) -> None:
    call = {
        "blockId": "call",
        "toolType": "API",
        "configuration": {"endpoint": "http://127.0.0.1:9/orders", "method": "POST", "body": {"n": 1}},
        "retryPolicy": {"maxRetries": 0},
        "recovery": {"escalate": {"assignees": ["alice"]}},
    }
    execution = run_until_quiet(start(make_template([call], workspace=people.workspace)))
    question = question_of(execution)
    page = f"{INBOX}{question.pk}/change/"

    def configuration(user: User) -> tuple[dict[str, Any], str]:
        fields = {field.name: field for field in signed_in(user).get(page).context["form"].fields}
        field = fields["response.configuration"]
        return json.loads(field.value), field.help

    offered, said = configuration(people.alice)
    assert offered == {"body": {"n": 1}}
    assert said.endswith("Only who may edit the workflow changes endpoint, method.")
    whole, said = configuration(people.admin)
    assert whole == call["configuration"]
    assert "Only who" not in said
    elsewhere = {"body": {"n": 2}, "endpoint": "http://evil.example/"}
    typed = {"decision": "retry", "response.configuration": json.dumps(elsewhere)}
    refused = decide(people.alice, question, **typed)
    (field,) = (one for one in refused.context["form"].fields if one.problem)
    assert (field.name, json.loads(field.value)) == ("response.configuration", elsewhere)
    assert "only who may edit the workflow changes it here" in field.problem
    assert status_of(question) == "PENDING"
    decide(people.alice, question, **typed | {"response.configuration": '{"body": {"n": 3}}'})
    assert status_of(question) == "APPROVED"
    assert question.response == {"action": "retry", "configuration": {"body": {"n": 3}}}

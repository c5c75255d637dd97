"""Admin pages: who sees what, that every page renders whatever the run, and what it costs."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from approvals_app.models import Approval
from approvals_app.services.approvals import respond_to_approval
from executions_app.models import BlockExecution, Execution
from templates_app.models import Template, TemplateVersion
from tests.driver import run_until_quiet
from tests.factories import branch, make_template, make_user, make_workspace, noop, start
from tests.people import People, asking, make_people, question_of, run_asking
from workflow_service.accounts.admin_policies import PolicyAdmin
from workflow_service.accounts.models import Role, User

LISTS = (
    "/admin/templates_app/template/",
    "/admin/executions_app/execution/",
    "/admin/approvals_app/approval/",
)


@pytest.fixture
def people(transactional_db: None) -> People:
    return make_people()


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page_of(row: Template | Execution | Approval) -> str:
    label = row._meta.label_lower.replace(".", "/")
    return f"/admin/{label}/{row.pk}/change/"


class PageReader(HTMLParser):
    """Notes what a strict content security policy would block."""

    def __init__(self) -> None:
        super().__init__()
        self.blocked: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.blocked += [f"{tag} {name}" for name in named if name == "style" or name.startswith("on")]
        if (tag == "script" and not named.get("src") and not named.get("type")) or tag == "style":
            self.blocked += [] if named.get("nonce") else [f"inline {tag}"]
        if str(named.get("href") or "").startswith("javascript:"):
            self.blocked.append("javascript: link")


def read(client: Client, path: str) -> str:
    """Return a page, checked for what its own security policy forbids."""
    response = client.get(path)
    assert response.status_code == 200, (path, response.status_code)
    policy = response["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    text = response.content.decode()
    reader = PageReader()
    reader.feed(text)
    assert reader.blocked == []
    return text


def in_words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def completed(people: People) -> Execution:
    blocks = [
        noop("a", {"n": 1, "text": "<script>alert(1)</script>"}, name="First <b>step</b>"),
        noop("b", dependencies=["a"], conditions={"branches": [branch("n > 0", "c"), branch(None, "d")]}),
        noop("c"),
        noop("d"),
    ]
    return run_asking(people, *blocks, given={"file": "sales.csv"})


def failed(people: People) -> Execution:
    script = "raise ValueError('no such <row>')"
    failing = {
        "blockId": "a",
        "toolType": "SCRIPT",
        "configuration": {"code": script},
        "retryPolicy": {"maxRetries": 0},
        "onError": ["undo"],
    }
    return run_asking(people, failing, noop("undo"), noop("b", dependencies=["a"]))


def empty(people: People) -> Execution:
    return start(make_template([noop("only")], workspace=people.workspace))


def large(people: People) -> Execution:
    blocks = [noop("begin"), *(noop(f"part_{number}", dependencies=["begin"]) for number in range(320))]
    return start(make_template(blocks, workspace=people.workspace))


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (completed, ["Completed", "First <b>step</b>", "Skipped", "sales.csv", "block_completed"]),
        (failed, ["Failed", "no such <row>", "Stack trace", "on failure"]),
        (run_asking, ["Waiting for approval", "Open the approval", "Load rows", "approval_requested"]),
        (empty, ["No block has begun yet", "Queued", "execution_started"]),
        (large, ["too many blocks for a picture", "part_319"]),
    ],
    ids=["completed", "failed", "waiting", "just started", "large"],
)
def test_a_run_s_page_renders_whatever_its_state(
    people: People, make: Callable[[People], Execution], shown: list[str]
) -> None:
    execution = make(people)
    html = read(signed_in(people.alice), page_of(execution))
    words = in_words(html).replace("&lt;", "<").replace("&gt;", ">")
    for text in [execution.public_id, *shown]:
        assert text in words
    assert "<script>alert" not in html
    assert "<b>step" not in html
    live = signed_in(people.alice).get(f"/admin/executions_app/execution/{execution.pk}/live/")
    assert live.status_code == 200
    assert execution.public_id in live.content.decode()


@pytest.mark.parametrize("path", LISTS)
def test_lists_render_empty_and_full(people: People, path: str) -> None:
    client = signed_in(people.alice)
    assert "0 " in in_words(read(client, path))
    completed(people)
    run_asking(people)
    read(client, path)


def test_a_block_at_work_shows_how_far_it_is(people: People) -> None:
    execution = run_asking(people)
    said = {"percent": 42.5, "message": "<b>reading</b>", "at": "2026-11-22T12:00:00Z"}
    BlockExecution.objects.filter(execution=execution).update(status="RUNNING", progress=said)
    page = signed_in(people.alice).get(page_of(execution)).content.decode()
    assert 'max="100" value="42.5"' in page
    assert "&lt;b&gt;reading&lt;/b&gt;" in page
    assert re.search(r'data-after-log="\d+"', page)


def test_a_page_is_found_by_its_public_id_too(people: People) -> None:
    execution = run_asking(people)
    client = signed_in(people.alice)
    # Digits after the underscore are what Django's own pages would read as a quoted character.
    Execution.objects.filter(pk=execution.pk).update(public_id="exec_22ab3f")
    read(client, "/admin/executions_app/execution/exec_22ab3f/change/")
    read(client, f"/admin/approvals_app/approval/{question_of(execution).public_id}/change/")


def test_a_template_s_page_shows_each_version(people: People) -> None:
    template = make_template([noop("first")], workspace=people.workspace)
    TemplateVersion.objects.create(
        template=template,
        ordinal=2,
        label="1.1.0",
        definition={"blocks": [{"blockId": "second", "dependencies": ["nowhere"]}]},
        definition_sha256="",
        created_by=template.owner,
    )
    TemplateVersion.objects.create(
        template=template,
        ordinal=3,
        label="2.0.0",
        definition={"blocks": "broken"},
        definition_sha256="",
        created_by=template.owner,
    )
    client = signed_in(people.alice)
    page = page_of(template)
    assert "start->first;" in in_words(read(client, page)).replace("&gt;", ">")
    second = in_words(read(client, f"{page}?version=2"))
    assert "MISSING_DEPENDENCY" in second
    assert "NO_WORK" in second
    assert "nothing to draw" in in_words(read(client, f"{page}?version=3"))
    for unknown in ("9", "x", "-1", "1e9", "9" * 30):
        assert client.get(page, {"version": unknown}).status_code == 404


def test_an_approval_s_page_says_what_why_and_how_far_the_run_is(people: People) -> None:
    execution = run_asking(
        people,
        noop("check", {"bad": 12}, name="Check"),
        asking(
            fields={"dependencies": ["check"], "configuration": {"output": {"rows": 4200, "parts": [1, 2]}}},
            message="${bad} rows are bad",
            approvalLevel="MANAGER",
        ),
    )
    words = in_words(read(signed_in(people.alice), page_of(question_of(execution))))
    for text in ("12 rows are bad", "level MANAGER", "Check", "Completed", "Approve", "Reject", "4200"):
        assert text in words


@pytest.mark.parametrize("kind", ["answered", "closed", "foreseen"])
def test_an_approval_that_cannot_be_answered_has_no_buttons(people: People, kind: str) -> None:
    approval = question_of(run_asking(people, asking(fourEyes=True)))
    if kind == "answered":
        respond_to_approval(
            approval_id=approval.public_id,
            actor=people.bob,
            approved=False,
            comments="Too many",
            source="test",
        )
    elif kind == "closed":
        Approval.objects.filter(pk=approval.pk).update(status="CANCELLED")
    else:
        Execution.objects.filter(pk=approval.execution_id).update(created_by=people.alice)
    html = read(signed_in(people.alice), page_of(approval))
    assert 'value="approve"' not in html
    expected = {"answered": "Rejected by bob", "closed": "Closed without", "foreseen": "you started this run"}
    assert expected[kind] in in_words(html)


def test_pages_show_a_workspace_s_own_rows_only(people: People) -> None:
    execution = run_asking(people)
    stranger = signed_in(people.stranger)
    for path in LISTS:
        assert "Load rows" not in read(stranger, path)
        assert execution.public_id not in read(stranger, path)
    for row in (execution.template, execution, question_of(execution)):
        assert stranger.get(page_of(row)).status_code == 302  # to the index, as for what does not exist
    assert stranger.get(f"/admin/executions_app/execution/{execution.pk}/live/").status_code == 404
    filters = read(stranger, "/admin/executions_app/execution/")
    assert execution.template.name not in filters


def test_a_superuser_looks_everywhere_and_decides_nowhere_by_that_alone(people: People) -> None:
    root = make_user(username="root", is_staff=True, is_superuser=True)
    approval = question_of(run_asking(people))
    client = signed_in(root)
    assert "Load rows" in read(client, "/admin/approvals_app/approval/")
    assert "You cannot answer this" in read(client, page_of(approval))
    response = client.post(f"/admin/approvals_app/approval/{approval.pk}/respond/", {"decision": "approve"})
    assert response.status_code == 302
    approval.refresh_from_db()
    assert approval.status == "PENDING"


def test_who_is_no_staff_or_signed_out_sees_the_sign_in_page(people: People) -> None:
    execution = run_asking(people)
    outsiders = [Client(), signed_in(make_user(people.workspace, Role.ADMIN))]
    for client in outsiders:
        for path in (*LISTS, page_of(execution), f"/admin/executions_app/execution/{execution.pk}/live/"):
            response = client.get(path)
            assert response.status_code == 302
            assert response["Location"].startswith("/admin/login/")


def test_nothing_is_added_changed_or_deleted_by_hand(people: People) -> None:
    execution = run_asking(people)
    client = signed_in(people.admin)
    for row in (execution.template, execution, question_of(execution)):
        page = page_of(row)
        assert client.post(page, {"status": "COMPLETED"}).status_code == 405
        assert client.post(page.replace("/change/", "/delete/"), {"post": "yes"}).status_code == 403
        add = client.post(re.sub(r"\d+/change/", "add/", page), {"name": "By hand", "status": "active"})
        # A template is added by its file, and a run by the form of its template, and by nothing else.
        assert add.status_code == (200 if row in (execution.template, execution) else 403)
    assert Execution.objects.count() == 1
    assert not Template.objects.filter(name="By hand").exists()
    assert "delete_selected" not in read(client, LISTS[2])


@pytest.mark.parametrize("path", LISTS)
def test_a_list_costs_the_same_however_long_it_is(people: People, path: str) -> None:
    client = signed_in(people.alice)
    run_asking(people)
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            read(client, path)
        counts.append(len(queries))
        for _ in range(3):
            run_asking(people)
    assert counts[0] == counts[1] <= 24


def test_a_page_costs_the_same_however_many_blocks_there_are(people: People) -> None:
    client = signed_in(people.alice)
    counts: dict[str, list[int]] = {"execution": [], "approval": []}
    for size in (1, 12):
        before = [noop(f"part_{number}", {"n": number}) for number in range(size)]
        ask = asking(fields={"dependencies": [f"part_{number}" for number in range(size)]})
        execution = run_asking(people, *before, ask)
        for name, row in (("execution", execution), ("approval", question_of(execution))):
            read(client, page_of(row))  # the plan is compiled once for a process
            with CaptureQueriesContext(connection) as queries:
                read(client, page_of(row))
            counts[name].append(len(queries))
    assert counts["execution"][0] == counts["execution"][1] <= 27
    assert counts["approval"][0] == counts["approval"][1] <= 21


def test_the_index_says_how_much_waits_for_the_user(people: People) -> None:
    run_asking(people)
    run_asking(people, asking(assignees=["user:bob"]))
    assert re.search(
        r"Inbox Mine 1 My groups\W 1 Overdue 0", in_words(read(signed_in(people.alice), "/admin/"))
    )
    assert re.search(
        r"Inbox Mine 2 My groups\W 1 Overdue 0", in_words(read(signed_in(people.bob), "/admin/"))
    )
    assert "Nothing waits for you" in in_words(read(signed_in(people.stranger), "/admin/"))


def test_a_group_is_a_name_without_permissions(people: People) -> None:
    client = signed_in(make_user(username="root", is_staff=True, is_superuser=True))
    assert "permissions" not in read(client, "/admin/auth/group/add/")
    client.post("/admin/auth/group/add/", {"name": "finance"})
    assert "groups" in read(client, f"/admin/accounts/user/{people.alice.pk}/change/")
    assert signed_in(people.admin).get("/admin/auth/group/").status_code == 403


def test_other_workspaces_are_no_choice_of_a_filter(people: People) -> None:
    make_template([noop("a")], workspace=make_workspace()).__class__.objects.update(name="Secret plan")
    assert "Secret plan" not in read(signed_in(people.alice), "/admin/executions_app/execution/")


def test_broken_filters_are_no_error(people: People) -> None:
    run_asking(people)
    client = signed_in(people.alice)
    for path in LISTS:
        for query in (
            {"template": "x"},
            {"inbox": "x"},
            {"status": "x"},
            {"nonsense__x": "1"},
            {"p": "x"},
            {"o": "9.x"},
        ):
            assert client.get(path, query).status_code in (200, 302), (path, query)


def test_a_finished_run_stays_readable_after_its_template_changed(people: People) -> None:
    execution = run_until_quiet(completed(people))
    Template.objects.filter(pk=execution.template_id).update(current_version=None, name="Renamed")
    assert "Renamed" in read(signed_in(people.alice), page_of(execution))


def test_an_empty_list_says_what_would_be_in_it(people: People) -> None:
    unsaid = {type(one).__name__ for one in admin.site._registry.values() if isinstance(one, PolicyAdmin)}
    unsaid -= {type(one).__name__ for one in admin.site._registry.values() if getattr(one, "when_empty", "")}
    # These two have pages of their own for it.
    assert unsaid == {"ApprovalAdmin", "AnalyticsAdmin"}
    client = signed_in(people.alice)
    anomalies = client.get("/admin/anomalies/anomaly/").content.decode()
    assert "far slower, dearer or worse" in anomalies
    searched = client.get("/admin/anomalies/anomaly/?q=gone").content.decode()
    assert "Nothing matches the search" in searched
    assert "far slower, dearer or worse" not in searched

"""A template's pages: finding it, what differs between versions, and the commands, by POST and for those who may."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from templates_app.models import Template, TemplateShare
from templates_app.services.templates import add_version, create_template
from tests.factories import branch, make_user, noop
from tests.integration.admin.test_pages import in_words, read, signed_in
from tests.people import People, make_people
from workflow_service.accounts.models import Role, User

LIST = "/admin/templates_app/template/"


@pytest.fixture
def people(db: None) -> People:
    return make_people()


@pytest.fixture
def template(people: People) -> Template:
    blocks = [noop("a", {"n": 1}), noop("b", dependencies=["a"])]
    body: dict[str, Any] = {"name": "Sales pipeline", "blocks": blocks, "tags": ["etl"], "category": "data"}
    return create_template(workspace=people.workspace, actor=people.developer, body=body)


@pytest.fixture
def changed(people: People, template: Template) -> Template:
    """The template with a second version."""
    blocks = [
        noop(
            "a",
            {"n": 2, "code": "one\ntwo\n"},
            conditions={"branches": [branch("n > 1", "c"), branch(None, "end")]},
        ),
        noop("c"),
    ]
    body: dict[str, Any] = {"name": "Sales pipeline", "blocks": blocks, "changeNote": "Another way"}
    add_version(template=template, actor=people.developer, body=body)
    template.refresh_from_db()
    return template


def page_of(template: Template) -> str:
    return f"{LIST}{template.pk}/change/"


def command(user: User, template: Template, name: str, /, **form: Any) -> Any:
    path = f"{LIST}{template.pk}/command/"
    return signed_in(user).post(path, {"command": name, **form}, follow=True)


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def status_of(template: Template) -> str:
    template.refresh_from_db()
    return template.status


def test_the_list_is_searched_and_narrowed(people: People, template: Template) -> None:
    create_template(
        workspace=people.workspace, actor=people.admin, body={"name": "Stock", "blocks": [noop("a")]}
    )
    developer = signed_in(people.developer)

    def found(query: str) -> set[str]:
        words = in_words(read(developer, LIST + query))
        return {name for name in ("Sales pipeline", "Stock") if f"{name} 1.0.0" in words}

    assert found("") == {"Sales pipeline", "Stock"}
    assert found("?q=ipeli") == found("?q=PIPELINES") == found("?tag=etl") == {"Sales pipeline"}
    assert found("?category=data&of=me&status=active&q=sales&o=1") == {"Sales pipeline"}
    assert found("?of=shared") == found("?q=%27%3A*") == set()
    TemplateShare.objects.create(
        template=Template.objects.get(name="Stock"), user=people.developer, right="workflow:read"
    )
    assert found("?of=shared") == {"Stock"}


@pytest.mark.parametrize(
    "path", ["?tag=%00", "?q=%00", "?of=%00", "?category=%00", "%00/change/", "9/diff/?to=%00"]
)
def test_what_is_no_text_breaks_no_page(people: People, path: str) -> None:
    assert signed_in(people.developer).get(LIST + path).status_code in (200, 302, 404)


def test_a_page_shows_runs_versions_and_shares_at_a_fixed_cost(people: People, changed: Template) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            read(client, page_of(changed))
        return len(captured)

    client = signed_in(people.developer)
    words = in_words(read(client, page_of(changed)))
    for text in ("Another way", "1.1.0 current", "Roll back to it", "Duration, mean —", "JSON YAML DSL"):
        assert text in words
    few = queries()
    for user in (people.alice, people.bob):
        TemplateShare.objects.create(template=changed, user=user, right="workflow:update")
    assert queries() == few
    assert "user:alice update" in in_words(read(client, page_of(changed)))


def test_two_versions_are_compared(people: People, changed: Template) -> None:
    client = signed_in(people.alice)
    html = read(client, f"{LIST}{changed.pk}/diff/")
    words = in_words(html)
    for text in (
        "1.0.0 → 1.1.0",
        "Changed a",
        "configuration/output/n",
        "\N{MINUS SIGN} 1",
        "+ 2",
        "Removed b",
        "Added c",
    ):
        assert text in words.replace("&gt;", ">"), text
    assert html.count("wf-tone-ok") > 1, "the picture says what was added"
    assert "Both say the same" in in_words(read(client, f"{LIST}{changed.pk}/diff/?from=2&to=2"))
    back = in_words(read(client, f"{LIST}{changed.pk}/diff/?from=2&to=1"))
    assert "Added b" in back
    for query in ("from=9", "to=x", "to=0", "from=" + "9" * 40):
        assert client.get(f"{LIST}{changed.pk}/diff/?{query}").status_code == 404


def test_a_version_is_downloaded(people: People, changed: Template) -> None:
    client = signed_in(people.alice)
    path = f"{LIST}{changed.pk}/export/"
    file = client.get(path, {"format": "dsl", "version": "1"})
    assert "sales-pipeline-1.0.0.yaml" in file["Content-Disposition"]
    assert b"a->b" in file.content.replace(b" ", b"")
    assert client.get(path, {"format": "exe"}).status_code == 404
    assert signed_in(people.stranger).get(path, {"format": "json"}).status_code == 404


def test_a_file_is_uploaded_as_a_template_and_as_its_next_version(people: People) -> None:
    client = signed_in(people.developer)
    page = read(client, f"{LIST}add/")
    assert 'enctype="multipart/form-data"' in page

    def upload(text: str, name: str = "flow.yaml", **fields: Any) -> Any:
        form = {"workspace": people.workspace.pk, "file": SimpleUploadedFile(name, text.encode()), **fields}
        return client.post(f"{LIST}add/", form, follow=True)

    made = upload("blocks:\n- {blockId: a, toolType: NOOP}\n", name="flow.yaml")
    assert messages_of(made) == ["Imported."]
    template = Template.objects.get(name="flow")
    assert made.redirect_chain[-1][0] == page_of(template)
    again = upload("name: flow\nblocks:\n- {blockId: b, toolType: NOOP}\n")
    assert messages_of(again) == ["Imported into your template of that name."]
    assert template.versions.count() == 2
    for text, words in (
        ("blocks: [", "flow.yaml:1"),
        ("blocks: []", "blocks"),
        ("x: 1", "there is no field"),
    ):
        refused = upload(text, **{"name": "flow.yaml"})
        assert words in in_words(refused.content.decode()), text
    assert upload("a", name="flow.exe").status_code == 200
    assert Template.objects.count() == 1


def test_files_are_taken_from_those_who_may_create_where_they_may(people: People) -> None:
    assert signed_in(people.alice).get(f"{LIST}add/").status_code == 403
    file = SimpleUploadedFile("flow.yaml", b"blocks:\n- {blockId: a, toolType: NOOP}\n")
    foreign = {"workspace": people.workspace.pk, "file": file}
    refused = signed_in(people.stranger).post(f"{LIST}add/", foreign)
    assert "Select a valid choice" in refused.content.decode()
    assert not Template.objects.exists()
    assert "Import a file" in in_words(read(signed_in(people.developer), LIST))
    assert "Import a file" not in in_words(read(signed_in(people.alice), LIST))


def test_the_owner_takes_a_template_through_its_statuses(people: People, template: Template) -> None:
    owner = people.developer
    asked = command(owner, template, "deprecate")
    assert "Deprecate this template?" in asked.content.decode()
    assert status_of(template) == "active", "asking is not doing"
    done = command(owner, template, "deprecate", confirmed="yes", note=" Use Stock\x00 ")
    assert messages_of(done) == ["Deprecated: who starts it is warned."]
    assert "Use Stock" in in_words(read(signed_in(owner), page_of(template)))
    assert messages_of(command(owner, template, "publish")) == ["Published: it may be started."]
    command(owner, template, "archive", confirmed="yes")
    assert status_of(template) == "archived"
    command(owner, template, "restore")
    assert status_of(template) == "draft"


def test_a_command_on_what_was_changed_meanwhile_is_refused(people: People, template: Template) -> None:
    page = signed_in(people.developer).get(page_of(template))
    seen = page.context["etag"]
    command(people.admin, template, "deprecate", confirmed="yes")
    late = command(people.developer, template, "archive", confirmed="yes", etag=seen)
    assert "was changed meanwhile" in messages_of(late)[0]
    assert status_of(template) == "deprecated"


def test_a_clone_and_a_rollback_are_made_from_their_pages(people: People, changed: Template) -> None:
    cloned = command(people.developer, changed, "clone", confirmed="yes", name="Mine")
    copy = Template.objects.get(name="Mine")
    assert cloned.redirect_chain[-1][0] == page_of(copy)
    assert (
        "Roll back to this version?"
        in command(people.developer, changed, "rollback", version="1").content.decode()
    )
    command(people.developer, changed, "rollback", version="1", confirmed="yes", note="It failed")
    changed.refresh_from_db()
    assert changed.current_version is not None
    assert (changed.current_version.label, changed.current_version.change_note) == ("1.2.0", "It failed")


def test_a_template_is_shared_and_given_away_on_its_page(people: People, template: Template) -> None:
    command(
        people.developer, template, "share", grantee="user:alice", right=["workflow:update", "workflow:fly"]
    )
    assert [str(share) for share in TemplateShare.objects.all()] == [
        "workflow:update on Sales pipeline for user:alice"
    ]
    assert "Deprecate" in in_words(read(signed_in(people.alice), page_of(template)))
    command(people.developer, template, "share", grantee="user:alice")
    assert not TemplateShare.objects.exists()
    unfit = command(people.developer, template, "transfer", owner="bob")
    assert "has no role here" in messages_of(unfit)[0]
    heir = make_user(people.workspace, Role.DEVELOPER, username="hugo", is_staff=True)
    command(people.developer, template, "transfer", owner="hugo")
    template.refresh_from_db()
    assert template.owner == heir


@pytest.mark.parametrize(
    "name", ["publish", "clone", "deprecate", "archive", "restore", "rollback", "share", "transfer", "fly"]
)
def test_who_may_not_is_offered_nothing_and_changes_nothing(
    people: People, changed: Template, name: str
) -> None:
    before = Template.objects.values().get()
    page = read(signed_in(people.alice), page_of(changed))
    assert f'value="{name}"' not in page
    form: dict[str, Any] = {"confirmed": "yes", "version": "1", "grantee": "user:alice", "owner": "alice"}
    refused = command(people.alice, changed, name, right=["workflow:admin"], **form)
    assert len(messages_of(refused)) == 1
    assert Template.objects.values().get() == before
    assert not TemplateShare.objects.exists()
    assert command(people.stranger, changed, name, **form).status_code == 404
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.developer)
    assert client.post(f"{LIST}{changed.pk}/command/", {"command": name, **form}).status_code == 403
    assert client.get(f"{LIST}{changed.pk}/command/").status_code == 405

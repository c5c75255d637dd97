"""The library in the admin: cards, one template with its graph, and its installation."""

import pytest
from django.test import Client

from templates_app.library.catalog import library
from templates_app.models import Template
from tests.integration.admin.test_pages import read, signed_in
from tests.people import People, make_people

LIBRARY = "/admin/templates_app/template/library/"


@pytest.fixture
def people(transactional_db: None) -> People:
    return make_people()


def install(client: Client, slug: str, **form: str) -> int:
    return client.post(f"{LIBRARY}{slug}/install/", form).status_code


def test_cards_are_found_by_words_and_category(people: People) -> None:
    client = signed_in(people.developer)
    text = read(client, LIBRARY)
    assert all(one.name in text for one in library().values())
    assert "15 found" in text or f"{len(library())} found" in text
    narrowed = read(client, f"{LIBRARY}?q=purchase+order&category=finance")
    assert "Invoice approval" in narrowed
    assert "Sales ETL" not in narrowed
    assert "No template has all of these words" in read(client, f"{LIBRARY}?q=%3Cscript%3E")
    assert LIBRARY in read(client, "/admin/templates_app/template/")


def test_every_ready_template_has_a_page_with_its_graph(people: People) -> None:
    client = signed_in(people.developer)
    for one in library().values():
        text = read(client, f"{LIBRARY}{one.slug}/")
        assert "<svg" in text
        assert one.about.branches[0].target in text
    assert client.get(f"{LIBRARY}no-such/").status_code == 404


def test_installing_leads_to_the_template(people: People) -> None:
    client = signed_in(people.developer)
    form = {"workspace": people.workspace.public_id}
    answer = client.post(f"{LIBRARY}backup/install/", form, follow=True)
    (template,) = Template.objects.filter(workspace=people.workspace)
    assert answer.redirect_chain[-1][0] == f"/admin/templates_app/template/{template.pk}/change/"
    assert "“Backup” is installed" in answer.content.decode()
    assert "Install a copy" in read(client, f"{LIBRARY}backup/")
    again = client.post(f"{LIBRARY}backup/install/", form, follow=True)
    assert "was installed already" in again.content.decode()
    assert install(client, "backup", **form, copy="yes") == 302
    assert sorted(Template.objects.values_list("name", flat=True)) == ["Backup", "Backup (2)"]


def test_who_may_not_create_templates_has_no_button(people: People) -> None:
    client = signed_in(people.alice)
    assert "Installing wants the right" in read(client, f"{LIBRARY}backup/")
    assert install(client, "backup", workspace=people.workspace.public_id) == 403
    assert install(signed_in(people.stranger), "backup", workspace=people.workspace.public_id) == 403
    assert install(signed_in(people.developer), "backup", workspace="\0") == 403
    assert client.get(f"{LIBRARY}backup/install/").status_code == 405
    assert not Template.objects.exists()


def test_nobody_looks_without_signing_in(people: People) -> None:
    assert Client().get(LIBRARY).status_code == 302

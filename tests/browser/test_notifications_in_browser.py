"""How one is told, and answers by link: axe finds nothing, a phone is wide enough, and the keyboard suffices."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from approvals_app import mail_links
from tests.people import asking, make_people, question_of, run_asking

pytestmark = pytest.mark.django_db(transaction=True)

SignIn = Callable[..., Page]
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
FORM = {"type": "object", "properties": {"account": {"type": "string"}}, "required": ["account"]}


def violations(page: Page) -> list[str]:
    options: dict[str, Any] = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response["violations"]
    return [f"{one['id']}: {node['html'][:160]}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize(("width", "dark"), [(1280, True), (390, False)], ids=["dark", "phone"])
def test_axe_finds_nothing_on_preferences_and_answers_by_link(
    sign_in: SignIn, width: int, dark: bool
) -> None:
    people = make_people()
    form = question_of(run_asking(people, asking(type="INPUT", inputSchema=FORM, message="Pay?")))
    plain = question_of(run_asking(people, asking(message="Pay?")))
    page = sign_in(people.admin, width=width, dark=dark)
    pages = [
        "/admin/notifications/notification/preferences/",
        "/approvals/answer/nonsense",
        mail_links.sign(form, people.alice),
        mail_links.sign(plain, people.alice),
    ]
    found = {}
    for address in pages:
        page.goto(address)
        found[address] = violations(page)
        if address.startswith("/approvals/"):
            assert page.evaluate("document.documentElement.scrollWidth") <= width, address
    page.get_by_label("Comment").fill("Fine")
    page.get_by_role("button", name="Approve").press("Enter")
    expect(page.get_by_text("This question is answered")).to_be_visible()
    found["answered"] = violations(page)
    assert {name: problems for name, problems in found.items() if problems} == {}
    plain.refresh_from_db()
    assert (plain.status, plain.responded_by, plain.comments) == ("APPROVED", people.alice, "Fine")

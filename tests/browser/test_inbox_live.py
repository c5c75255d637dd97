"""The inbox and a question in a browser: live without moving, on a phone, by keyboard and without JavaScript."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from approvals_app.models import Approval
from approvals_app.services.approvals import respond_to_approval
from tests.browsing import SignIn
from tests.people import People, asking, make_people, question_of, run_asking

INBOX = "/admin/approvals_app/approval/"
POLLED_MS = 20_000


@pytest.fixture
def people(transactional_db: None) -> People:
    return make_people()


def ask(people: People, message: str, **step: Any) -> Approval:
    return question_of(run_asking(people, asking(message=message, **step)))


def address_of(approval: Approval) -> str:
    return f"{INBOX}{approval.pk}/change/"


def asked(page: Page) -> list[str]:
    return page.locator(".wf-asked").all_inner_texts()


def test_an_open_inbox_fills_and_changes_without_moving(people: People, sign_in: SignIn) -> None:
    page = sign_in(people.alice)
    page.goto(INBOX)
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    first = ask(people, "First?")
    # Where there is nothing, nothing can move: it appears by itself.
    expect(page.locator(".wf-asked")).to_have_text(["First?"], timeout=POLLED_MS)
    expect(page.locator("[data-tab=mine] [data-count]")).to_have_text("1")

    page.check(f"input.action-select[value='{first.pk}']")
    before = page.locator("#result_list tr").last.bounding_box()
    ask(people, "Second?")
    expect(page.locator("#wf-inbox [role=status]")).to_have_text("1 new", timeout=POLLED_MS)
    assert asked(page) == ["First?"]
    assert page.locator("#result_list tr").last.bounding_box() == before
    page.get_by_role("link", name="Show", exact=True).click()
    expect(page.locator(".wf-asked")).to_have_text(["First?", "Second?"])
    assert page.is_checked(f"input.action-select[value='{first.pk}']")
    expect(page.locator(".action-counter")).to_have_text("1 of 2 selected")

    respond_to_approval(approval_id=first.public_id, actor=people.bob, approved=False, source="admin")
    expect(page.locator("tr", has_text="First?")).to_contain_text("Rejected by bob", timeout=POLLED_MS)
    assert asked(page) == ["First?", "Second?"]
    assert page.is_disabled(f"input.action-select[value='{first.pk}']")
    expect(page.locator(".action-counter")).to_have_text("0 of 2 selected")


def test_who_reads_a_question_is_told_that_it_was_answered(people: People, sign_in: SignIn) -> None:
    approval = ask(people, "Who is first?")
    page = sign_in(people.alice)
    page.goto(address_of(approval))
    page.fill("#id_comments", "mine")
    respond_to_approval(approval_id=approval.public_id, actor=people.bob, approved=True, source="admin")
    expect(page.locator("#wf-approval [role=status]")).to_have_text(
        "Approved by bob meanwhile.", timeout=POLLED_MS
    )
    assert page.input_value("#id_comments") == "mine"
    expect(page.get_by_role("button", name="Approve")).to_be_disabled()


def test_on_a_phone_the_buttons_are_under_the_thumb(people: People, sign_in: SignIn) -> None:
    approval = ask(people, "Long. " * 300)
    page = sign_in(people.alice, width=390)
    page.goto(address_of(approval))
    for name in ("Approve", "Reject"):
        box = page.get_by_role("button", name=name).bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["y"] + box["height"] <= 844
    page.get_by_role("button", name="Approve").click()
    expect(page.locator(".messagelist")).to_have_text("Approved: Load rows.")


def test_questions_are_answered_by_keyboard_alone(people: People, sign_in: SignIn) -> None:
    first, second = ask(people, "First?"), ask(people, "Second?")
    page = sign_in(people.alice)
    page.goto(INBOX)
    for key in ("j", "j", "x", "k", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url(f"**{address_of(first)}")
    page.keyboard.press("c")
    page.keyboard.type("quick, and just so: jjxa")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.value") == "approve"
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_have_text("Approved: Load rows.")
    first.refresh_from_db()
    assert (first.status, first.comments) == ("APPROVED", "quick, and just so: jjxa")

    page.goto(address_of(second))
    page.keyboard.press("?")
    page.get_by_label("Use these keys in this browser").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    page.keyboard.press("a")
    assert page.evaluate("document.activeElement.tagName") == "BODY"


def test_all_of_it_works_without_javascript(people: People, sign_in: SignIn) -> None:
    first, second = ask(people, "First?"), ask(people, "Second?")
    page = sign_in(people.alice, scripts=False)
    page.goto("/admin/")
    page.get_by_role("link", name="First?").click()
    page.get_by_role("button", name="Reject").click()
    expect(page.locator(".messagelist")).to_have_text("Rejected: Load rows.")
    page.goto(INBOX)
    page.check(f"input.action-select[value='{second.pk}']")
    page.get_by_role("button", name="Approve selected").click()
    page.get_by_role("button", name="Approve 1").click()
    expect(page.locator("h1", has_text="Approved 1 of 1")).to_be_visible()
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, second.status) == ("REJECTED", "APPROVED")

"""Pages of runs in a browser: what a reader holds is left alone while the page goes on, and axe finds nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from approvals_app.services.approvals import respond_to_approval
from executions_app.models import Execution
from tests.driver import run_until_quiet
from tests.factories import make_template, noop, start
from tests.people import People, asking, make_people, question_of, run_asking

SignIn = Callable[..., Page]
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
SCHEMA = {
    "type": "object",
    "required": ["who"],
    "properties": {
        "who": {"type": "string", "title": "Who", "description": "Whom to greet."},
        "times": {"type": "integer", "default": 2},
        "until": {"type": "string", "format": "date"},
        "mode": {"enum": ["loud", "quiet"]},
        "names": {"type": "array", "items": {"type": "string"}},
        "address": {"type": "object", "title": "Address", "properties": {"city": {"type": "string"}}},
        "more": {"type": "object"},
    },
}


@pytest.fixture
def people(transactional_db: None) -> People:
    return make_people()


def page_of(execution: Execution, *parts: str) -> str:
    return "/".join(["/admin/executions_app/execution", str(execution.pk), *parts, ""])


def test_what_a_reader_holds_stays_while_the_run_goes_on(people: People, sign_in: SignIn) -> None:
    first = noop("first", {"n": 1}, name="First")
    last = noop("last", {"n": 2}, name="Last", dependencies=["load"])
    execution = run_asking(people, first, asking(fields={"dependencies": ["first"]}), last)
    page = sign_in(people.admin)
    page.goto(page_of(execution, "change"))
    page.locator("#output-first-1 > summary").click()
    page.locator("input[name=log]").fill("half a wo")
    page.locator("#output-first-1 > summary").focus()
    row = page.locator("#block-first")
    row.scroll_into_view_if_needed()
    row.hover()
    before = row.bounding_box()
    question = question_of(execution)
    respond_to_approval(approval_id=question.public_id, actor=people.bob, approved=True, source="admin")
    run_until_quiet(execution)

    # The callout of the question above goes, bars and rows appear, and the row under the pointer stays.
    expect(page.locator(".wf-head-state .wf-badge")).to_contain_text("Completed", timeout=30_000)
    expect(page.locator("#block-last .wf-badge")).to_contain_text("Completed")
    after = row.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(after["y"] - before["y"]) < 2
    expect(page.locator("#output-first-1")).to_have_attribute("open", "")
    expect(page.locator("#output-first-1 > summary")).to_be_focused()
    expect(page.locator("input[name=log]")).to_have_value("half a wo")
    expect(page.locator("[data-command=pause]")).to_be_hidden()
    expect(page.locator("[data-command=restart]")).to_be_visible()


def test_a_run_is_started_and_restarted_by_keyboard(people: People, sign_in: SignIn) -> None:
    template = make_template([noop("greet")], workspace=people.workspace, inputSchema=SCHEMA)
    page = sign_in(people.admin, scripts=False)
    page.goto(f"/admin/templates_app/template/{template.pk}/change/")
    page.get_by_role("link", name="Start…").press("Enter")
    page.get_by_label("Who (needed)").fill("Ada")
    page.get_by_label("times").fill("many")
    page.get_by_label("times").press("Enter")
    expect(page.get_by_label("times")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("Must be a whole number.")).to_be_visible()
    expect(page.get_by_label("Who (needed)")).to_have_value("Ada")
    page.get_by_label("times").fill("3")
    page.get_by_role("button", name="Start").press("Enter")
    expect(page.get_by_text("Started.")).to_be_visible()
    execution = run_until_quiet(Execution.objects.get())
    page.reload()
    page.get_by_role("link", name="Restart…").press("Enter")
    page.get_by_label("Go on from").select_option("block:greet")
    page.get_by_role("button", name="Restart").press("Enter")
    expect(page.get_by_text("greet runs again.")).to_be_visible()
    execution.refresh_from_db()
    assert execution.generation == 2


def violations(page: Page) -> list[str]:
    options: dict[str, Any] = {
        "runOnly": {"type": "tag", "values": list(TAGS)},
        "resultTypes": ["violations"],
    }
    found = Axe().run(page, options=options).response["violations"]
    return [f"{one['id']}: {node['html'][:160]}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize(("width", "dark"), [(1280, True), (390, False)], ids=["wide-dark", "phone-light"])
def test_axe_finds_nothing_on_the_pages_of_runs(
    people: People, sign_in: SignIn, width: int, dark: bool
) -> None:
    template = make_template([noop("greet")], workspace=people.workspace, inputSchema=SCHEMA)
    run = run_until_quiet(start(template, {"who": "Ada"}))
    waiting = run_asking(people)
    add = "/admin/executions_app/execution/add/"
    form = f"{add}?template={template.public_id}"
    # Axe takes its time: what differs in no colour and no width is looked at once.
    once = [
        page_of(run, "change") + "?log=nothing-like-it",
        page_of(waiting, "block", "load", "skip"),
        add,
        form,
    ]
    pages = [page_of(run, "change"), page_of(run, "block", "greet"), page_of(waiting, "restart")]
    pages += [] if dark else once
    page = sign_in(people.admin, width=width, dark=dark)
    found = {}
    for address in pages:
        page.goto(address)
        found[address] = violations(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
    page.goto(form)
    page.get_by_label("Who (needed)").fill("Ada")
    page.get_by_label("times").fill("many")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("Must be a whole number.")).to_be_visible()
    found["refused"] = violations(page)
    assert {name: problems for name, problems in found.items() if problems} == {}

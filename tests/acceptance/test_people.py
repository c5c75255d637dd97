"""People before the admin of a whole stack: what is asked appears, one decision is made, who may not sees nothing."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import open_chromium
from tests.running_stack import client_of, password_of
from workflow_service.demo.client import ServiceRefused
from workflow_service.embedded.readiness import wait_for
from workflow_service.embedded.stack_record import AttachedStack

# A busy machine is given its time: what is waited for is a condition.
PATIENCE_S = 60.0
ENDED = {"COMPLETED", "FAILED", "CANCELLED"}
IS_TOLD = """
    (text) => document.body.innerText.includes(text) || !document.getElementById("wf-inbox-show").hidden
"""
# Follows the approvals in the page's own session and keeps the ids of what it is told.
FOLLOW = """
    () => {
        window.toldOf = [];
        window.follower = new WebSocket(`ws://${location.host}/ws/approvals?after=0`);
        window.follower.onmessage = (message) => window.toldOf.push(JSON.parse(message.data).approvalId);
    }
"""
PRESS_AT = """
    ([value, at]) => setTimeout(
        () => document.querySelector(`button[name=decision][value=${value}]`).click(), at - Date.now()
    )
"""


@dataclass(frozen=True)
class Asked:
    """A run that waits for a person, and its question. ``row`` is the approval's key in the database."""

    execution_id: str
    approval_id: str
    row: int
    message: str


class House:
    """A stack with a browser before it."""

    def __init__(self, stack: AttachedStack, browser: Browser) -> None:
        self.stack = stack
        self._browser = browser

    def sign_in(self, username: str) -> Page:
        page = self._browser.new_context(base_url=self.stack.base_url).new_page()
        page.set_default_timeout(PATIENCE_S * 1_000)
        page.goto("/admin/login/")
        page.fill("#id_username", username)
        page.fill("#id_password", password_of(self.stack, username))
        page.click("[type=submit]")
        return page

    def start(self, *assignees: str) -> tuple[str, str]:
        """Start a run that asks before its first block and has one after it; return its id and what it asks."""
        message = f"May {uuid4().hex} be loaded?"
        step = {"required": True, "message": message, "assignees": list(assignees)}
        blocks: list[dict[str, Any]] = [
            {"blockId": "load", "toolType": "NOOP", "humanInLoop": step},
            {"blockId": "report", "toolType": "NOOP", "dependencies": ["load"]},
        ]
        with client_of(self.stack, "developer") as developer:
            template = developer.save_template({"name": f"Asks {uuid4().hex}", "blocks": blocks})
            started = developer.start_execution(template["templateId"], {}, idempotency_key=uuid4().hex)
        return started["executionId"], message

    def ask(self, *assignees: str) -> Asked:
        """Start such a run and wait until it asks."""
        execution_id, message = self.start(*assignees)
        return self.asked(execution_id, message)

    def asked(self, execution_id: str, message: str) -> Asked:
        with client_of(self.stack, "admin") as admin:
            assert wait_for(lambda: bool(admin.pending_approvals(execution_id)), PATIENCE_S)
            (pending,) = admin.pending_approvals(execution_id)
        services = json.loads((self.stack.data_dir / "services.json").read_text())
        with psycopg.connect(services["database_url"]) as database:
            query = "SELECT id FROM approvals_app_approval WHERE public_id = %s"
            row = database.execute(query, [pending["approvalId"]]).fetchone()
        assert row is not None
        return Asked(execution_id, pending["approvalId"], row[0], message)

    def end_of(self, asked: Asked) -> dict[str, Any]:
        """Return the run once it has ended."""
        with client_of(self.stack, "developer") as developer:
            assert wait_for(lambda: developer.execution(asked.execution_id)["status"] in ENDED, PATIENCE_S)
            return developer.execution(asked.execution_id)


@pytest.fixture
def house(stack: AttachedStack) -> Iterator[House]:
    with open_chromium() as browser:
        yield House(stack, browser)


def page_of(asked: Asked) -> str:
    return f"/admin/approvals_app/approval/{asked.row}/change/"


def test_a_question_appears_in_an_open_inbox_is_approved_and_the_run_goes_on(house: House) -> None:
    page = house.sign_in("approver")
    frames: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda text: frames.append(str(text))))
    page.goto("/admin/")
    page.evaluate("window.openedOnce = true")
    execution_id, message = house.start()
    page.wait_for_function(IS_TOLD, arg=message)
    row = page.locator(".wf-asked", has_text=message)
    if not row.is_visible():
        page.locator("#wf-inbox-show").click()
    expect(row).to_be_visible(timeout=PATIENCE_S * 1_000)
    # Neither loaded again nor asked for every few seconds: it was told.
    assert page.evaluate("window.openedOnce") is True
    asked = house.asked(execution_id, message)
    assert any(asked.approval_id in text for text in frames)

    row.click()
    page.locator("button[name=decision][value=approve]").click()
    expect(page.locator("button[name=decision]")).to_have_count(0, timeout=PATIENCE_S * 1_000)
    run = house.end_of(asked)
    assert run["status"] == "COMPLETED"
    assert [block["status"] for block in run["blockExecutions"]] == ["COMPLETED", "COMPLETED"]
    page.context.close()


def test_of_two_who_click_at_once_one_decides_and_the_other_is_told(house: House) -> None:
    asked = house.ask()
    pages = {"approve": house.sign_in("approver"), "reject": house.sign_in("admin")}
    for page in pages.values():
        page.goto(page_of(asked))
        expect(page.locator("button[name=decision]").first).to_be_visible()
    at = next(iter(pages.values())).evaluate("Date.now()") + 500
    for value, page in pages.items():
        page.evaluate(PRESS_AT, [value, at])
    # Each sees the page again, with what stands and without a way to answer.
    for page in pages.values():
        expect(page.locator("button[name=decision]")).to_have_count(0, timeout=PATIENCE_S * 1_000)
        page.goto(page_of(asked))
    run = house.end_of(asked)
    decided = {"COMPLETED": "Approved", "FAILED": "Rejected"}[run["status"]]
    for page in pages.values():
        expect(page.locator("#wf-question-title")).to_contain_text(decided, timeout=PATIENCE_S * 1_000)
    answered = [event for event in _events(house, asked) if event["type"] == "approval_responded"]
    assert len(answered) == 1
    for page in pages.values():
        page.context.close()


def test_who_is_not_asked_sees_and_can_do_nothing_by_page_api_and_socket(house: House) -> None:
    page = house.sign_in("approver")
    secret = house.ask("user:admin")
    # By page: neither in the lists, nor under its own address, nor by the form that answers it.
    for path in ("/admin/approvals_app/approval/?inbox=all", page_of(secret), "/admin/"):
        page.goto(path)
        assert secret.message not in page.content()
    page.evaluate(FOLLOW)
    csrf = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken")
    answer = page.request.post(
        page_of(secret).replace("change", "respond"),
        form={"decision": "approve", "csrfmiddlewaretoken": csrf},
        headers={"Referer": house.stack.base_url},
    )
    assert answer.status == 404
    # By API.
    with client_of(house.stack, "approver") as approver:
        assert approver.pending_approvals(secret.execution_id) == []
        with pytest.raises(ServiceRefused) as refused:
            approver.respond(secret.approval_id, approved=True, comments="")
        assert refused.value.status == httpx.codes.NOT_FOUND
    # By socket: what is for everybody comes, behind what is not for this user.
    for_all = house.ask()
    page.wait_for_function("(id) => window.toldOf.includes(id)", arg=for_all.approval_id)
    assert secret.approval_id not in page.evaluate("window.toldOf")
    with client_of(house.stack, "admin") as admin:
        assert admin.respond(secret.approval_id, approved=True, comments="")["status"] == "APPROVED"
    assert house.end_of(secret)["status"] == "COMPLETED"
    page.context.close()


def _events(house: House, asked: Asked) -> list[dict[str, Any]]:
    with client_of(house.stack, "developer") as developer:
        return list(developer.events_after(asked.execution_id, 0))

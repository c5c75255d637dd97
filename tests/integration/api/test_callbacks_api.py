"""Callbacks over HTTP: the address is the right; what is answered, and what is refused."""

import io
import json
import logging
import logging.config
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from executions_app import parking
from executions_app.api import wait_views
from executions_app.callback_tokens import Try
from executions_app.claiming import claim_block
from executions_app.models import BlockExecution, BlockOutput, Execution
from executions_app.services.callbacks import await_callback
from executions_app.worker_identity import worker_id
from templates_app.plans import compiled_version
from tests.caller import Caller, problem_of
from tests.driver import queued_blocks
from tests.factories import make_template, start
from tests.waiting import go_on
from workflow_service.settings.config import get_config

pytestmark = pytest.mark.django_db(transaction=True)

CALL = {
    "blockId": "wait",
    "toolType": "API",
    "configuration": {"endpoint": "https://agent.example.com/jobs", "callback": True, "body": {}},
}


@pytest.fixture
def waiting() -> Execution:
    """A run whose agent has accepted the work."""
    execution = start(make_template([CALL]))
    claim = claim_block(execution.pk, queued_blocks(execution)[0], worker_id()).claim
    assert claim is not None
    park = await_callback(execution_block(execution))
    parking.park(claim, waits_for=park.waits_for, due_in_s=park.due_in_s, then=park.then)
    return execution


def execution_block(execution: Execution) -> Any:
    return compiled_version(execution.version_id).plan.nodes[0].block


def url_of(execution: Execution) -> str:
    row = BlockExecution.objects.get(execution=execution)
    return Try(row.pk, 0).url(execution.public_id).removeprefix(get_config().own_url())


def call_back(url: str, body: Any) -> Any:
    return Client().post(url, json.dumps(body), content_type="application/json")


def test_an_agent_needs_nothing_but_the_address(waiting: Execution) -> None:
    answer = call_back(url_of(waiting), {"status": "completed", "output": {"pages": 12}})
    assert (answer.status_code, answer.json()) == (202, {"delivered": True})
    assert go_on(waiting).status == "COMPLETED"
    assert BlockOutput.objects.get(execution_id=waiting.pk).value == {"pages": 12}
    again = call_back(url_of(waiting), {"status": "completed", "output": {"pages": 12}})
    problem_of(again, 409, "CALLBACK_USED")


def test_credentials_that_come_along_do_not_matter(waiting: Execution) -> None:
    answer = Caller(Authorization="Bearer nonsense").post(url_of(waiting), {"status": "completed"})
    assert answer.status_code == 202, answer.content


def test_failed_work_fails_the_block(waiting: Execution) -> None:
    error = {"type": "RESOURCE_NOT_FOUND", "message": "no such scan", "details": {"page": 3}}
    assert call_back(url_of(waiting), {"status": "failed", "error": error}).status_code == 202
    execution = go_on(waiting)
    assert execution.error is not None
    assert {key: execution.error[key] for key in error} == error


def test_failed_work_may_go_without_a_reason(waiting: Execution) -> None:
    assert call_back(url_of(waiting), {"status": "failed"}).status_code == 202
    execution = go_on(waiting)
    assert execution.error is not None
    assert execution.error["type"] == "SYSTEM_ERROR"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/status"),
        ({"status": "done"}, "/status"),
        ({"status": "completed", "result": 1}, "/result"),
        ({"status": "completed", "error": {"message": "x"}}, "/error"),
        ({"status": "failed", "output": 1}, "/output"),
        ({"status": "failed", "error": {"type": "OOPS"}}, "/error/type"),
        ({"status": "failed", "error": {"details": [1]}}, "/error/details"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_body_is_said_and_the_address_still_good(
    waiting: Execution, body: dict[str, Any], pointer: str
) -> None:
    refused = problem_of(call_back(url_of(waiting), body), 422, "INVALID_REQUEST")
    assert pointer in [one["pointer"] for one in refused["errors"]]
    assert call_back(url_of(waiting), {"status": "completed"}).status_code == 202


def test_bodies_that_are_no_json_are_refused(waiting: Execution) -> None:
    for text in ("{", '{"status": NaN}', "[" * 5_000, ""):
        answer = Client().post(url_of(waiting), text, content_type="application/json")
        assert answer.status_code in (400, 422), text


def test_a_guessed_address_is_not_found(waiting: Execution) -> None:
    good = url_of(waiting)
    for wrong in (good[:-1], good + "x", "/api/v1/callbacks/cb_1_0_" + "A" * 43, "/api/v1/callbacks/x"):
        problem_of(call_back(wrong, {"status": "completed"}), 404, "CALLBACK_NOT_FOUND")
    assert Client().get(good).status_code == 405


def test_a_callback_that_is_late_is_gone(waiting: Execution) -> None:
    BlockExecution.objects.filter(execution=waiting).update(status="CANCELLED")
    problem_of(call_back(url_of(waiting), {"status": "completed"}), 410, "CALLBACK_EXPIRED")


def test_an_address_may_not_call_too_often(waiting: Execution, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_config(), "rate_limit_callbacks_per_min", 2)
    for _ in range(2):
        assert call_back("/api/v1/callbacks/x", {"status": "completed"}).status_code == 404
    assert call_back("/api/v1/callbacks/x", {"status": "completed"}).status_code == 429


def test_no_log_line_has_the_token_whatever_goes_wrong(
    waiting: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frameworks log the address of every answer that is an error; here each line is formatted as in production."""
    url = url_of(waiting)
    written = io.StringIO()
    logs: Any = settings.LOGGING
    formats = logging.config.DictConfigurator(logs)
    for name in ("plain", "json"):
        handler = logging.StreamHandler(written)
        handler.setFormatter(formats.configure_formatter(dict(logs["formatters"][name])))
        monkeypatch.setattr(logging.getLogger(), "handlers", [*logging.getLogger().handlers, handler])
    call_back(url, {"status": "done"})
    monkeypatch.setattr(wait_views, "take_callback", broken)
    assert call_back(url, {"status": "completed"}).status_code == 500
    lines = written.getvalue()
    assert "callbacks" in lines
    assert "no luck" in lines
    assert url.rpartition("_")[2] not in lines
    assert url.removeprefix("/api/v1/callbacks/") not in lines


def broken(token: str, answer: Any) -> bool:
    raise RuntimeError(f"no luck with {token}")

"""Any POST that bears an ``Idempotency-Key`` is carried out once and answered twice alike."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.urls import get_resolver

from executions_app.models import ExecutionEvent
from executions_app.services import control
from executions_app.sweeper import sweep
from executions_app.trees import lock_tree
from templates_app.models import Template
from tests.caller import Caller, problem_of
from tests.factories import make_template, noop, start
from tests.house import House
from workflow_service.accounts.idempotency import forget_old_answers
from workflow_service.accounts.models import ApiKey, IdempotentRequest, Role
from workflow_service.idempotent_posts import REPLAYED

pytestmark = pytest.mark.django_db(transaction=True)

BODY = {"name": "Once", "blocks": [noop("one")]}


def test_a_template_is_made_once(house: House, developer: Caller) -> None:
    first = developer.post("templates", BODY, **{"Idempotency-Key": "make-1"})
    again = developer.post("templates", BODY, **{"Idempotency-Key": "make-1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert (first.get("Location"), first.get("ETag")) == (again.get("Location"), again.get("ETag"))
    assert (REPLAYED in first.headers, again[REPLAYED]) == (False, "true")
    assert Template.objects.filter(workspace=house.workspace).count() == 1
    other = developer.post("templates", BODY, **{"Idempotency-Key": "make-2"})
    assert other.json()["templateId"] != first.json()["templateId"]


def test_a_key_stands_for_one_request(developer: Caller) -> None:
    developer.post("templates", BODY, **{"Idempotency-Key": "k"})
    for path, body in (("templates", BODY | {"name": "Other"}), ("templates/validate", BODY)):
        problem_of(developer.post(path, body, **{"Idempotency-Key": "k"}), 409, "IDEMPOTENCY_CONFLICT")


def test_a_key_is_the_users_own(house: House, developer: Caller) -> None:
    developer.post("templates", BODY, **{"Idempotency-Key": "k"})
    other = house.caller(Role.ADMIN).post("templates", BODY, **{"Idempotency-Key": "k"})
    assert (other.status_code, REPLAYED in other.headers) == (201, False)


def test_what_was_refused_may_be_asked_again(house: House, developer: Caller) -> None:
    problem_of(developer.post("templates", {"name": 3}, **{"Idempotency-Key": "k"}), 422, "INVALID_REQUEST")
    assert not IdempotentRequest.objects.exists()
    assert developer.post("templates", BODY, **{"Idempotency-Key": "k"}).status_code == 201
    assert house.caller(Role.VIEWER).post("templates", BODY, **{"Idempotency-Key": "v"}).status_code == 403


@pytest.mark.parametrize("key", ["", "with space", "x" * 256])
def test_a_malformed_key_is_refused(developer: Caller, key: str) -> None:
    problem_of(developer.post("templates", BODY, **{"Idempotency-Key": key}), 400, "INVALID_HEADER")


def test_nobodys_requests_are_not_kept() -> None:
    answer = Caller().post("templates", BODY, **{"Idempotency-Key": "k"})
    problem_of(answer, 401, "NOT_AUTHENTICATED")
    assert not IdempotentRequest.objects.exists()


def test_a_secret_is_made_once_and_not_kept(house: House, developer: Caller) -> None:
    first = developer.post("api-keys", {"name": "ci"}, **{"Idempotency-Key": "k"})
    assert first.status_code == 201
    problem_of(developer.post("api-keys", {"name": "ci"}, **{"Idempotency-Key": "k"}), 409, "ANSWER_NOT_KEPT")
    assert ApiKey.objects.filter(workspace=house.workspace).count() == 1
    assert IdempotentRequest.objects.get().answer is None


def test_a_command_is_given_once(house: House, developer: Caller) -> None:
    execution = start(make_template([noop("one")], workspace=house.workspace))
    admin = house.caller(Role.ADMIN)
    path = f"executions/{execution.public_id}"
    first = admin.post(f"{path}/pause", {}, **{"Idempotency-Key": "p"})
    assert admin.post(f"{path}/resume", {}).json()["status"] == "RUNNING"
    again = admin.post(f"{path}/pause", {}, **{"Idempotency-Key": "p"})
    assert again.json() == first.json()
    assert again[REPLAYED] == "true"
    execution.refresh_from_db()
    assert execution.status == "RUNNING", "the repeated pause was the first one's echo"


def test_an_answer_that_cannot_be_kept_undoes_its_command(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = start(make_template([noop("one")], workspace=house.workspace))
    caller, path = house.caller(Role.ADMIN), f"executions/{execution.public_id}/pause"
    overtaking: list[Any] = []

    def overtaken(tx: Any, execution_id: int) -> Any:
        # The same request, sent twice at once, is carried out just before this one gets the lock.
        if not overtaking:
            overtaking.append(None)
            with ThreadPoolExecutor(1) as pool:
                overtaking.append(pool.submit(_post, caller, path).result())
        return lock_tree(tx, execution_id)

    monkeypatch.setattr(control, "lock_tree", overtaken)
    answer = caller.post(path, {}, **{"Idempotency-Key": "race"})
    assert (answer.status_code, answer[REPLAYED]) == (200, "true")
    assert answer.json() == overtaking[1].json()
    events = ExecutionEvent.objects.filter(execution_id=execution.pk, type="execution_paused")
    assert events.count() == 1


def test_many_at_once_make_one_template(house: House, developer: Caller) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = [future.result() for future in [pool.submit(_make, developer) for _ in range(4)]]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["templateId"] for answer in answers}) == 1
    assert Template.objects.filter(workspace=house.workspace).count() == 1


def test_answers_are_forgotten_after_a_day(developer: Caller) -> None:
    developer.post("templates", BODY, **{"Idempotency-Key": "k"})
    sweep()
    assert IdempotentRequest.objects.count() == 1
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_idempotentrequest SET created_at = created_at - interval '25 hours'")
    assert forget_old_answers() == 1


def test_every_post_says_how_it_is_idempotent() -> None:
    """A view that commits its own transactions must say so: inside another one it would fail."""
    posts = {
        view.cls
        for view in _views(get_resolver())
        if getattr(view, "cls", None) is not None and hasattr(view.cls, "post")
    }
    assert len(posts) > 8
    own = {cls.__name__ for cls in posts if getattr(cls, "commits_itself", False)}
    assert {"PauseView", "ResumeView", "CancelView", "RespondView"} <= own


def _views(resolver: Any) -> Any:
    for pattern in resolver.url_patterns:
        if hasattr(pattern, "url_patterns"):
            yield from _views(pattern)
        else:
            yield pattern.callback


def _post(caller: Caller, path: str) -> Any:
    try:
        return caller.post(path, {}, **{"Idempotency-Key": "race"})
    finally:
        connection.close()


def _make(caller: Caller) -> Any:
    try:
        return caller.post("templates", BODY, **{"Idempotency-Key": "at-once"})
    finally:
        connection.close()

"""Whatever is sent to a command on a run is refused with its place, changes nothing, and is never a 500."""

from typing import Any

import pytest

from executions_app.models import Execution
from tests.caller import Caller, problem_of
from tests.factories import event_types, make_template, noop, start
from tests.house import House, make_house
from workflow_service.accounts.models import Role
from workflow_service.settings.config import get_config

pytestmark = pytest.mark.usefixtures("transactional_db")

COMMANDS = (
    "pause",
    "resume",
    "cancel",
    "restart",
    "force-restart",
    "recovery-points",
    "blocks/one/retry",
    "blocks/one/reassign",
    "blocks/one/skip",
    "signals/paid",
)
OVERRIDES = frozenset(name for name in COMMANDS if name.startswith(("force", "blocks")))
BROKEN: dict[str, tuple[str | bytes, int, str]] = {
    "no JSON": ("{", 400, "MALFORMED_BODY"),
    "a list": ("[]", 400, "BODY_NOT_AN_OBJECT"),
    "null": ("null", 400, "BODY_NOT_AN_OBJECT"),
    "NaN": ('{"reason": NaN}', 400, "MALFORMED_BODY"),
    "NUL": ('{"reason": "a\\u0000"}', 400, "MALFORMED_BODY"),
    "half a surrogate pair": ('{"reason": "\\ud800"}', 400, "MALFORMED_BODY"),
    "not UTF-8": (b'{"reason": "\xff"}', 400, "MALFORMED_BODY"),
    "a key twice": ('{"reason": "a", "reason": "b"}', 400, "MALFORMED_BODY"),
    "too deep": ('{"reason": ' + "[" * 5_000 + "]" * 5_000 + "}", 400, "MALFORMED_BODY"),
    "a list for a text": ('{"reason": ["a"]}', 422, "INVALID_REQUEST"),
    "an unknown field": ('{"raeson": "a"}', 422, "INVALID_REQUEST"),
}


@pytest.fixture
def house(transactional_db: None) -> House:
    return make_house()


@pytest.fixture
def execution(house: House) -> Execution:
    return start(make_template([noop("one")], workspace=house.workspace))


@pytest.mark.parametrize("key", [None, "again"], ids=["without a key", "with a key"])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_body_breaks_a_command(house: House, execution: Execution, command: str, key: str | None) -> None:
    headers = {"Idempotency-Key": key} if key else {}
    before = event_types(execution)
    for name, (body, status, code) in BROKEN.items():
        answer = house.caller(Role.ADMIN).post(f"executions/{execution.public_id}/{command}", body, **headers)
        assert problem_of(answer, status, code), name
    assert event_types(execution) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_body_that_is_too_large_is_refused(
    house: House, execution: Execution, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_config(), "max_input_bytes", 100)
    answer = house.caller(Role.ADMIN).post(
        f"executions/{execution.public_id}/{command}", {"reason": "x" * 100}
    )
    problem_of(answer, 413, "BODY_TOO_LARGE")


@pytest.mark.parametrize(
    ("command", "body"),
    [
        ("restart", {"fromBlock": ["one"]}),
        ("restart", {"options": []}),
        ("restart", {"options": {"reassignAgents": "perhaps"}}),
        ("restart", {"resetState": {}}),
        ("restart", {"recoveryPointId": 1.5, "fromBlock": "x" * 101}),
        ("blocks/one/reassign", {}),
        ("blocks/one/reassign", {"agentId": ""}),
        ("blocks/one/reassign", {"agentId": {"id": "a"}}),
        ("blocks/one/reassign", {"agentId": "a" * 101}),
        ("blocks/one/skip", {"output": [1]}),
        ("blocks/one/skip", {"output": "done"}),
        ("signals/paid", {"payload": 1, "name": "paid"}),
    ],
)
def test_fields_of_wrong_types_are_refused(
    house: House, execution: Execution, command: str, body: dict[str, Any]
) -> None:
    before = event_types(execution)
    answer = house.caller(Role.ADMIN).post(f"executions/{execution.public_id}/{command}", body)
    assert problem_of(answer, 422, "INVALID_REQUEST")["errors"]
    assert event_types(execution) == before


def test_an_answer_does_not_grow_with_what_is_wrong(execution: Execution) -> None:
    body = {f"unknown{number}": number for number in range(10_000)}
    answer = Caller().post("callbacks/guessed", body)
    assert len(problem_of(answer, 422, "INVALID_REQUEST")["errors"]) <= 60
    assert len(answer.content) < 20_000


@pytest.mark.parametrize("command", COMMANDS)
def test_runs_of_others_and_of_nobody_are_not_there(house: House, execution: Execution, command: str) -> None:
    body = {"agentId": "a"} if command.endswith("reassign") else {}
    stranger = make_house().caller(Role.ADMIN)
    problem_of(stranger.post(f"executions/{execution.public_id}/{command}", body), 404, "EXECUTION_NOT_FOUND")
    problem_of(
        house.caller(Role.ADMIN).post(f"executions/exec_0/{command}", body), 404, "EXECUTION_NOT_FOUND"
    )
    problem_of(Caller().post(f"executions/{execution.public_id}/{command}", body), 401, "NOT_AUTHENTICATED")


@pytest.mark.parametrize("command", COMMANDS)
def test_roles_that_may_not_command_change_nothing(house: House, execution: Execution, command: str) -> None:
    Execution.objects.filter(pk=execution.pk).update(created_by=house.developer)
    body = {"agentId": "a"} if command.endswith("reassign") else {}
    roles = [Role.APPROVER, Role.VIEWER, *([Role.DEVELOPER] if command in OVERRIDES else [])]
    before = event_types(execution)
    for role in roles:
        answer = house.caller(role).post(f"executions/{execution.public_id}/{command}", body)
        problem_of(answer, 403, "FORBIDDEN")
    assert event_types(execution) == before


@pytest.mark.parametrize(
    "token", ["x", "cb_1_0_" + "A" * 43, "cb_1_0_%00", "%F0%9F%98%80", "cb_" + "9" * 300]
)
def test_a_guessed_callback_is_not_found(transactional_db: None, token: str) -> None:
    problem_of(Caller().post(f"callbacks/{token}", {"status": "completed"}), 404, "CALLBACK_NOT_FOUND")


@pytest.mark.parametrize("name", ["%00", "1st", "a%20b", "%F0%9F%98%80", "x" * 101])
def test_a_signal_s_name_in_the_address_is_checked(house: House, execution: Execution, name: str) -> None:
    answer = house.caller(Role.ADMIN).post(f"executions/{execution.public_id}/signals/{name}", {})
    problem_of(answer, 422, "SIGNAL_REJECTED")

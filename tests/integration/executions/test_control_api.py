"""Commands over HTTP: every command in every status of a run, who may give it, and what it answers."""

from collections.abc import Callable
from typing import Any

import pytest

from executions_app.claiming import claim_block
from executions_app.models import BlockExecution, Execution, ExecutionEvent, RecoveryPoint
from executions_app.worker_identity import worker_id
from tests.caller import Caller, problem_of
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import event_types, make_agent, make_template, noop, start
from tests.house import House, make_house
from tests.people import asking
from workflow_service.accounts.models import Role
from workflow_service.engine.states import ExecutionStatus

pytestmark = pytest.mark.usefixtures("db")

UNFIT = noop("one", {"n": "${nowhere}"}, retryPolicy={"maxRetries": 0}, defaultOutput={"n": 1})
S = ExecutionStatus


@pytest.fixture
def house(db: None) -> House:
    house = make_house()
    for agent_id in ("spare", "other", "x"):
        make_agent(house.workspace, agent_id)
    return house


@pytest.fixture
def other_house(db: None) -> House:
    return make_house()


def starting(house: House) -> Execution:
    return start(make_template([noop("one"), noop("two", dependencies=["one"])], workspace=house.workspace))


def running(house: House) -> Execution:
    execution = starting(house)
    claim_block(execution.pk, queued_blocks(execution)[0], worker_id())
    return execution


def waiting(house: House) -> Execution:
    return run_until_quiet(start(make_template([asking("one")], workspace=house.workspace)))


def paused(house: House) -> Execution:
    execution = starting(house)
    house.caller(Role.OPERATOR).post(f"executions/{execution.public_id}/pause")
    return execution


def recovering(house: House) -> Execution:
    execution = running(house)
    Execution.objects.filter(pk=execution.pk).update(status=S.RECOVERING)
    return execution


def completed(house: House) -> Execution:
    return run_until_quiet(starting(house))


def failed(house: House) -> Execution:
    blocks = [UNFIT, noop("two", dependencies=["one"])]
    return run_until_quiet(start(make_template(blocks, workspace=house.workspace)))


def cancelled(house: House) -> Execution:
    execution = starting(house)
    house.caller(Role.OPERATOR).post(f"executions/{execution.public_id}/cancel")
    return execution


RUNS: dict[ExecutionStatus, Callable[[House], Execution]] = {
    S.STARTING: starting,
    S.RUNNING: running,
    S.WAITING_FOR_APPROVAL: waiting,
    S.PAUSED: paused,
    S.RECOVERING: recovering,
    S.COMPLETED: completed,
    S.FAILED: failed,
    S.CANCELLED: cancelled,
}
ONE = {"fromBlock": "one"}
# What a command makes of a run in each status, or the code with which it is refused; "same" leaves it as it is.
ENDED, UNDER_WAY = "EXECUTION_ENDED", "EXECUTION_UNDER_WAY"
FORBIDS = "BLOCK_STATE_FORBIDS"
TABLE: dict[tuple[str, str], dict[ExecutionStatus, str]] = {
    ("pause", ""): {
        **dict.fromkeys((S.STARTING, S.RUNNING, S.WAITING_FOR_APPROVAL, S.RECOVERING), "PAUSED"),
        S.PAUSED: "same",
        **dict.fromkeys((S.COMPLETED, S.FAILED, S.CANCELLED), ENDED),
    },
    ("resume", ""): {
        **dict.fromkeys((S.STARTING, S.RUNNING, S.WAITING_FOR_APPROVAL, S.RECOVERING), "same"),
        S.PAUSED: "RUNNING",
        **dict.fromkeys((S.COMPLETED, S.FAILED, S.CANCELLED), ENDED),
    },
    ("cancel", ""): {
        **dict.fromkeys((S.STARTING, S.RUNNING, S.WAITING_FOR_APPROVAL, S.PAUSED, S.RECOVERING), "CANCELLED"),
        S.CANCELLED: "same",
        **dict.fromkeys((S.COMPLETED, S.FAILED), ENDED),
    },
    ("restart", "one"): {
        **dict.fromkeys((S.STARTING, S.RUNNING, S.WAITING_FOR_APPROVAL, S.RECOVERING), UNDER_WAY),
        **dict.fromkeys((S.PAUSED, S.COMPLETED, S.FAILED, S.CANCELLED), "RUNNING"),
    },
    ("restart", ""): {
        **dict.fromkeys((S.STARTING, S.RUNNING, S.WAITING_FOR_APPROVAL, S.RECOVERING), UNDER_WAY),
        **dict.fromkeys((S.PAUSED, S.COMPLETED), "NOTHING_TO_RESTART"),
        **dict.fromkeys((S.FAILED, S.CANCELLED), "RUNNING"),
    },
    ("force-restart", "one"): dict.fromkeys(S, "RUNNING"),
    ("recovery-points", ""): {
        **dict.fromkeys((S.STARTING, S.RUNNING, S.WAITING_FOR_APPROVAL, S.PAUSED, S.RECOVERING), "same"),
        **dict.fromkeys((S.COMPLETED, S.FAILED, S.CANCELLED), ENDED),
    },
    ("blocks/one/retry", ""): {
        **dict.fromkeys((S.STARTING, S.RUNNING, S.WAITING_FOR_APPROVAL, S.PAUSED, S.RECOVERING), FORBIDS),
        S.COMPLETED: ENDED,
        **dict.fromkeys((S.FAILED, S.CANCELLED), "RUNNING"),
    },
    ("blocks/one/reassign", ""): {
        **dict.fromkeys((S.STARTING, S.WAITING_FOR_APPROVAL, S.PAUSED), "same"),
        **dict.fromkeys((S.RUNNING, S.RECOVERING), FORBIDS),
        S.COMPLETED: ENDED,
        **dict.fromkeys((S.FAILED, S.CANCELLED), "RUNNING"),
    },
    ("blocks/one/skip", ""): {
        **dict.fromkeys((S.STARTING,), "RUNNING"),
        S.WAITING_FOR_APPROVAL: "COMPLETED",
        S.PAUSED: "same",
        **dict.fromkeys((S.RUNNING, S.RECOVERING), FORBIDS),
        S.COMPLETED: ENDED,
        **dict.fromkeys((S.FAILED, S.CANCELLED), "RUNNING"),
    },
}
CASES = [
    pytest.param(command, block, status, effect, id=f"{command}{' ' + block if block else ''} {status}")
    for (command, block), effects in TABLE.items()
    for status, effect in effects.items()
]


def test_the_table_knows_every_status() -> None:
    assert RUNS.keys() == set(S)
    assert all(effects.keys() == set(S) for effects in TABLE.values())


@pytest.mark.parametrize(("command", "block", "status", "effect"), CASES)
def test_every_command_in_every_status(
    house: House, command: str, block: str, status: ExecutionStatus, effect: str
) -> None:
    execution = RUNS[status](house)
    execution.refresh_from_db()
    assert execution.status == status
    before = event_types(execution)
    body = {"agentId": "other"} if command.endswith("reassign") else {"fromBlock": block} if block else {}
    answer = house.caller(Role.OPERATOR).post(f"executions/{execution.public_id}/{command}", body)
    if not effect.isupper() or effect in set(S):
        assert answer.status_code == (201 if command == "recovery-points" else 200), answer.content
        expected = status if effect == "same" else S(effect)
    else:
        problem_of(answer, 409, effect)
        assert event_types(execution) == before
        expected = status
    execution.refresh_from_db()
    assert execution.status == expected
    assert_consistent(execution)


def test_answers_are_those_of_the_documents(house: House) -> None:
    execution = running(house)
    call = house.caller(Role.OPERATOR)
    path, run_id = f"executions/{execution.public_id}", execution.public_id
    answer = call.post(f"{path}/pause", {"reason": "maintenance"}).json()
    assert answer.pop("pausedAt")
    assert answer == {
        "success": True,
        "executionId": run_id,
        "status": "PAUSED",
        "message": "Execution paused successfully",
        "runningBlocks": ["one"],
    }
    answer = call.post(f"{path}/resume").json()
    assert answer.pop("resumedAt")
    assert answer == {
        "success": True,
        "executionId": run_id,
        "status": "RUNNING",
        "message": "Execution resumed successfully",
    }
    answer = call.post(f"{path}/cancel").json()
    assert answer.pop("cancelledAt")
    assert answer == {
        "success": True,
        "executionId": run_id,
        "execution_id": run_id,
        "status": "CANCELLED",
        "message": "Execution cancelled successfully",
        "cleanupStatus": "IN_PROGRESS",
        "stoppingBlocks": ["one"],
        "final_state": "one",
    }
    BlockExecution.objects.filter(execution=execution).update(worker_id=None)
    assert call.post(f"{path}/cancel").json()["cleanupStatus"] == "COMPLETED"
    answer = call.post(f"{path}/restart", {"fromBlock": "one", "resetState": False}).json()
    assert answer.pop("restartedAt")
    assert answer == {
        "success": True,
        "executionId": run_id,
        "status": "RUNNING",
        "fromBlock": "one",
        "message": "Execution restarted from one",
        "affectedBlocks": ["one", "two"],
        "preservedContext": {},
        "generation": 2,
    }


def test_operators_commands_on_blocks(house: House) -> None:
    call = house.caller(Role.OPERATOR)
    execution = failed(house)
    path = f"executions/{execution.public_id}/blocks/one"
    answer = call.post(f"{path}/skip", {"output": {"n": 5}}).json()
    assert (answer["message"], answer["affectedBlocks"]) == ("Block one skipped", ["one", "two"])
    run_until_quiet(execution)
    assert_consistent(execution)
    document = call.get(f"executions/{execution.public_id}").json()
    assert (document["status"], document["globalContext"]) == ("COMPLETED", {"n": 5})
    found = problem_of(call.post(f"executions/{execution.public_id}/blocks/tow/skip"), 404, "BLOCK_NOT_FOUND")
    assert found["errors"][0]["pointer"] == "", "the block is named by the address, not by a field"
    other = paused(house)
    path = f"executions/{other.public_id}/blocks"
    assert call.post(f"{path}/one/reassign", {"agentId": "spare"}).status_code == 200
    problem_of(call.post(f"{path}/two/skip"), 409, "BLOCK_NOT_REACHED")
    call.post(f"executions/{other.public_id}/resume")
    run_until_quiet(other)
    row = BlockExecution.objects.get(execution=other, block_id="one")
    assert (row.status, row.agent_id) == ("COMPLETED", "spare")
    assert "block_reassigned" in event_types(other)


def test_a_failed_block_is_reassigned_by_a_restart(house: House) -> None:
    execution = failed(house)
    call = house.caller(Role.OPERATOR)
    call.post(f"executions/{execution.public_id}/blocks/one/reassign", {"agentId": "spare"})
    row = BlockExecution.objects.get(execution=execution, block_id="one", superseded=False)
    assert (row.agent_id, row.generation) == ("spare", 2)
    run_until_quiet(execution)
    row.refresh_from_db()
    assert row.agent_id == "spare"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"resetState": True, "options": {"preserveContext": True}}, "/options/preserveContext"),
        ({"fromBlock": ""}, "/fromBlock"),
        ({"options": {"skipAll": True}}, "/options/skipAll"),
        ({"reason": "x" * 1_001}, "/reason"),
    ],
)
def test_bad_restarts_name_the_place(house: House, body: dict[str, Any], pointer: str) -> None:
    execution = completed(house)
    answer = house.caller(Role.OPERATOR).post(f"executions/{execution.public_id}/restart", body)
    found = problem_of(answer, 422, "INVALID_REQUEST")
    assert pointer in [error["pointer"] for error in found["errors"]]


def test_an_unknown_block_is_named_with_the_nearest_one(house: House) -> None:
    path = f"executions/{completed(house).public_id}/restart"
    found = problem_of(house.caller(Role.OPERATOR).post(path, {"fromBlock": "ones"}), 422, "UNKNOWN_BLOCK")
    assert "did you mean 'one'" in found["detail"]


def test_recovery_points_are_listed_and_restarted_from(house: House) -> None:
    call = house.caller(Role.OPERATOR)
    execution = run_until_quiet(
        start(
            make_template(
                [noop("a", {"x": 1}), asking("b", fields={"dependencies": ["a"]})], workspace=house.workspace
            )
        )
    )
    path = f"executions/{execution.public_id}"
    made = call.post(f"{path}/recovery-points", {"reason": "before the audit"})
    assert made.status_code == 201
    listed = call.get(f"{path}/recovery-points").json()
    assert (listed["total"], listed["executionId"]) == (2, execution.public_id)
    asked, manual = listed["recoveryPoints"]
    assert (asked["reason"], asked["blockId"], asked["completedBlocks"]) == ("block", "b", ["a"])
    assert manual == made.json()
    assert manual["state"] == {"globalContext": {"x": 1}}
    shown = call.get(path).json()["recoveryPoints"]
    then = {"state", "completedBlocks"}
    assert shown == [{key: point[key] for key in point.keys() - then} for point in (asked, manual)]
    told = ExecutionEvent.objects.get(execution_id=execution.pk, seq=manual["seq"])
    operator = house.members[Role.OPERATOR].get_username()
    assert told.data == {"reason": "manual", "actor": operator, "comment": "before the audit"}
    call.post(f"{path}/cancel")
    answer = call.post(f"{path}/restart", {"recoveryPointId": manual["recoveryPointId"]}).json()
    assert answer["affectedBlocks"] == ["b"]
    problem_of(
        call.post(f"{path}/force-restart", {"recoveryPointId": "rp_999"}), 404, "RECOVERY_POINT_NOT_FOUND"
    )
    other = completed(house)
    point = RecoveryPoint.objects.filter(execution=execution).latest("pk").public_id
    problem_of(
        call.post(f"executions/{other.public_id}/restart", {"recoveryPointId": point}),
        404,
        "RECOVERY_POINT_NOT_FOUND",
    )


@pytest.mark.parametrize(
    ("role", "own", "control", "override"),
    [
        (Role.ADMIN, False, 200, 200),
        (Role.OPERATOR, False, 200, 200),
        (Role.DEVELOPER, True, 200, 403),
        (Role.DEVELOPER, False, 403, 403),
        (Role.APPROVER, False, 403, 403),
        (Role.VIEWER, False, 403, 403),
    ],
)
def test_who_may_command(house: House, role: Role, own: bool, control: int, override: int) -> None:
    execution = starting(house)
    if own:
        Execution.objects.filter(pk=execution.pk).update(created_by=house.members[role])
    call, path = house.caller(role), f"executions/{execution.public_id}"
    for command, body, status in (
        ("force-restart", ONE, override),
        ("blocks/one/reassign", {"agentId": "x"}, override),
        ("pause", {}, control),
        ("resume", {}, control),
        ("cancel", {}, control),
        ("restart", ONE, control),
    ):
        assert call.post(f"{path}/{command}", body).status_code == status, command


def test_a_run_of_others_is_not_there(house: House, other_house: House) -> None:
    execution = starting(house)
    stranger = other_house.caller(Role.ADMIN)
    for command in ("pause", "resume", "cancel", "restart", "force-restart", "blocks/one/skip"):
        problem_of(stranger.post(f"executions/{execution.public_id}/{command}"), 404, "EXECUTION_NOT_FOUND")
    problem_of(Caller().post(f"executions/{execution.public_id}/pause"), 401, "NOT_AUTHENTICATED")

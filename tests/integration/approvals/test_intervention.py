"""A person saves a failed block: mends it and has it tried again, does without it, or lets it fail."""

from typing import Any

import pytest

from approvals_app.errors import ResponseInvalid
from approvals_app.models import Approval
from approvals_app.services import approvals, decisions
from approvals_app.services.approvals import respond_to_approval
from executions_app import parking, running
from executions_app.aftermath import follow_up
from executions_app.claiming import claim_block
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution, BlockOutput, Execution, RecoveryAction
from executions_app.parking import take_back
from executions_app.sweeper import sweep
from executions_app.worker_identity import worker_id
from tests.consistency import assert_consistent, assert_rebuilt
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import branch, event_types, make_template, noop, start, statuses
from tests.failing_work import dying_at, ledger, new_key, unsteady_block, work
from tests.people import People, make_people, question_of
from workflow_service.accounts.models import Membership, Role
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import BlockStatus


@pytest.fixture
def people(transactional_db: None) -> People:
    return make_people()


def escalated(people: People, key: str, *, fields: dict[str, Any] | None = None, **options: Any) -> Execution:
    """Start a run whose block 'shaky' fails twice with an error that no retry mends, and let it ask."""
    block = unsteady_block(
        "shaky",
        key,
        fields={"recovery": {"escalate": {"assignees": ["alice"], "message": "Look at it."}}}
        | (fields or {}),
        fails=2,
        error="VALIDATION_ERROR",
    )
    template = make_template([block, noop("after", dependencies=["shaky"])], workspace=people.workspace)
    return run_until_quiet(start(template, **options))


def answer(
    people: People, execution: Execution, response: JsonObject | None, *, approved: bool = True
) -> Execution:
    respond_to_approval(
        approval_id=question_of(execution).public_id,
        actor=people.alice,
        approved=approved,
        response=response,
        comments="seen",
        source="test",
    )
    assert_rebuilt(run_until_quiet(execution))
    return assert_consistent(execution)


def actions(execution: Execution) -> list[tuple[str, str, str]]:
    found = RecoveryAction.objects.filter(execution=execution).order_by("id")
    return list(found.values_list("strategy", "suggested_by", "outcome"))


def test_the_question_names_the_failure_and_what_may_be_done(people: People) -> None:
    execution = assert_consistent(escalated(people, new_key()))
    assert execution.status == "WAITING_FOR_APPROVAL"
    assert_rebuilt(execution)
    question = question_of(execution)
    assert question.type == "INTERVENTION"
    assert question.assignees == ["alice"]
    assert question.message == "Look at it.\n\n'shaky' failed: VALIDATION_ERROR: failure 1"
    assert question.response_schema is not None
    assert question.response_schema["properties"]["action"]["enum"] == ["retry", "skip", "abort"]
    assert event_types(execution)[2:6] == [
        "recovery_action",
        "block_waiting",
        "approval_requested",
        "execution_waiting",
    ]
    assert actions(execution) == [("escalate", "rules", "pending")]


def test_a_mended_block_is_tried_again_under_a_key_of_its_own(people: People) -> None:
    key, better = new_key(), new_key()
    execution = escalated(people, key)
    execution = answer(people, execution, {"action": "retry", "input": {"key": better, "fails": 0}})
    assert execution.status == "COMPLETED"
    assert ledger[better][0]["params"]["error"] == "VALIDATION_ERROR", "what is not given stays"
    assert ledger[better][0]["key"] == f"{ledger[key][0]['key']}:1"
    assert actions(execution) == [("escalate", "rules", "succeeded"), ("retry", "person", "succeeded")]
    row = BlockExecution.objects.get(execution=execution, block_id="shaky")
    assert (row.waits_for, row.wait_key) == ("", "")


def test_a_configuration_may_be_mended_too(people: People) -> None:
    execution = escalated(people, new_key())
    execution = answer(
        people, execution, {"action": "retry", "configuration": work(new_key())["configuration"]}
    )
    assert execution.status == "COMPLETED"


def test_an_answer_that_mends_nothing_is_asked_about_again(people: People) -> None:
    key = new_key()
    execution = escalated(people, key)
    execution = answer(people, execution, {"action": "retry"})
    assert execution.status == "WAITING_FOR_APPROVAL"
    execution = answer(people, execution, {"action": "retry"})
    assert execution.status == "COMPLETED"
    assert len({entry["key"] for entry in ledger[key]}) == 1
    assert Approval.objects.filter(execution=execution).count() == 2
    assert [outcome for *_, outcome in actions(execution)] == [
        "succeeded",
        "failed",
        "succeeded",
        "succeeded",
    ]


@pytest.mark.parametrize(
    ("response", "output"),
    [({"action": "skip"}, {"from": "default"}), ({"action": "skip", "output": {"by": 1}}, {"by": 1})],
)
def test_a_skipped_block_gives_what_the_person_or_the_definition_says(
    people: People, response: JsonObject, output: JsonObject
) -> None:
    execution = escalated(people, new_key(), fields={"defaultOutput": {"from": "default"}})
    execution = answer(people, execution, response)
    assert execution.status == "COMPLETED"
    assert BlockOutput.objects.get(execution_id=execution.pk, block_id="shaky").value == output
    assert actions(execution)[1] == ("skip", "person", "succeeded")


@pytest.mark.parametrize(("approved", "response"), [(True, {"action": "abort"}), (False, None)])
def test_an_aborted_block_fails_with_what_was_wrong(
    people: People, approved: bool, response: JsonObject | None
) -> None:
    execution = escalated(people, new_key())
    execution = answer(people, execution, response, approved=approved)
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert execution.error["message"] == "failure 1"
    assert statuses(execution)["shaky"] == "FAILED"
    assert actions(execution) == [("escalate", "rules", "failed"), ("abort", "person", "failed")]


@pytest.mark.parametrize(
    "response", [None, {}, {"action": "dance"}, {"action": "retry", "input": 3}, {"action": "skip", "x": 1}]
)
def test_an_answer_that_says_nothing_to_do_is_refused(people: People, response: JsonObject | None) -> None:
    execution = escalated(people, new_key())
    with pytest.raises(ResponseInvalid):
        answer(people, execution, response)
    assert assert_consistent(execution).status == "WAITING_FOR_APPROVAL"


def test_a_yes_to_an_intervention_is_no_approval_of_the_block(people: People) -> None:
    """A block that asks before its work asks again for other input, and for no other reason."""
    fields = {"humanInLoop": {"required": True}}
    execution = escalated(people, new_key(), fields=fields)
    execution = answer(people, execution, None)
    assert question_of(execution).type == "INTERVENTION"
    execution = answer(people, execution, {"action": "retry", "input": {"fails": 0}})
    assert question_of(execution).type == "APPROVAL", "other input is not what was approved"
    assert answer(people, execution, None).status == "COMPLETED"


def test_a_run_may_ask_about_every_block(people: People) -> None:
    execution = escalated(people, new_key(), fields={"recovery": None}, enableAutoRecovery=True)
    assert execution.status == "WAITING_FOR_APPROVAL"


def test_a_block_whose_worker_died_may_be_asked_about(people: People) -> None:
    block = unsteady_block("shaky", new_key(), fields={"onWorkerLost": "ask"})
    execution = start(make_template([block], workspace=people.workspace))
    (row_id,) = queued_blocks(execution)
    claim = claim_block(execution.pk, row_id, worker_id()).claim
    assert claim is not None
    follow_up(take_back(execution.pk, [(row_id, claim.fence)]), execution.pk)
    assert assert_consistent(execution).status == "WAITING_FOR_APPROVAL"
    assert "WORKER_LOST" in question_of(execution).message
    late = Result(BlockStatus.COMPLETED, output={})
    assert not finish_block(claim, late).accepted, "its worker is not dead, but too late"
    assert answer(people, execution, {"action": "retry"}).status == "COMPLETED"


def test_a_process_that_dies_with_the_question_has_asked_nobody(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = unsteady_block(
        "shaky", new_key(), fields={"recovery": {"escalate": {}}}, fails=1, error="VALIDATION_ERROR"
    )
    execution = start(make_template([block], workspace=people.workspace))
    (row_id,) = queued_blocks(execution)
    with dying_at(monkeypatch, parking, "conclude_locked"), monkeypatch.context() as patched:
        patched.setattr(running, "find_orphans", lambda worker: [])
        running.run_blocks(execution.pk, row_id, "default")
    assert not Approval.objects.filter(execution=execution).exists()
    row = BlockExecution.objects.get(pk=row_id)
    follow_up(take_back(execution.pk, [(row_id, row.fence)]), execution.pk)
    assert run_until_quiet(execution).status == "COMPLETED", "its second try works"


def saved_by_alice(people: People, tool: str, configuration: JsonObject) -> Execution:
    """Run a block with a configuration that fails where no tool is asked, and let alice be asked."""
    block = {
        "blockId": "call",
        "toolType": tool,
        "configuration": configuration,
        "retryPolicy": {"maxRetries": 0},
        "recovery": {"escalate": {"assignees": ["alice"]}},
    }
    execution = run_until_quiet(start(make_template([block], workspace=people.workspace)))
    assert question_of(execution).type == "INTERVENTION"
    return execution


API_CALL: JsonObject = {"endpoint": "http://127.0.0.1:9/orders", "method": "POST", "body": {"n": 1}}
DOWNLOAD: JsonObject = {"useCase": "http.download", "input": {"url": "http://127.0.0.1:9/a"}}
FETCH: JsonObject = {"server": "web", "tool": "fetch", "arguments": {"n": 1}}
SCRIPT: JsonObject = {"code": "raise ValueError", "input": {"n": 1}}


@pytest.mark.parametrize(
    ("tool", "configuration", "change", "place"),
    [
        ("API", API_CALL, {"configuration": {"endpoint": "http://evil.example/"}}, "/configuration/endpoint"),
        ("API", API_CALL, {"configuration": {"method": "DELETE"}}, "/configuration/method"),
        ("API", API_CALL, {"configuration": {"baseUrl": "http://evil.example"}}, "/configuration/baseUrl"),
        ("API", API_CALL, {"configuration": {"headers": {"Host": "evil"}}}, "/configuration/headers"),
        ("API", API_CALL, {"configuration": {"paging": {"next": "x"}}}, "/configuration/paging"),
        ("API", API_CALL, {"configuration": {"body": "${secrets.KEY}"}}, "/configuration/body"),
        ("SCRIPT", SCRIPT, {"configuration": {"code": "import os"}}, "/configuration/code"),
        ("SCRIPT", SCRIPT, {"input": {"to": "http://evil.example"}}, "/input/to"),
        ("SCRIPT", SCRIPT, {"input": {"smtpHost": "evil.example"}}, "/input/smtpHost"),
        ("SCRIPT", SCRIPT, {"input": {"to": {"host": "evil.example"}}}, "/input/to"),
        ("MCP", FETCH, {"configuration": {"tool": "delete"}}, "/configuration/tool"),
        (
            "MCP",
            FETCH,
            {"configuration": {"arguments": {"from": "http://evil"}}},
            "/configuration/arguments/from",
        ),
        ("MCP", FETCH, {"configuration": {"arguments": {"url": "evil"}}}, "/configuration/arguments/url"),
        ("MCP", FETCH, {"input": {"url": "evil"}}, "/input/url"),
        ("USE_CASE", DOWNLOAD, {"configuration": {"useCase": "csv.read"}}, "/configuration/useCase"),
        ("USE_CASE", DOWNLOAD, {"input": {"url": "http://evil.example/"}}, "/input/url"),
        ("USE_CASE", DOWNLOAD, {"configuration": {"input": {"url": "x"}}}, "/configuration/input/url"),
        ("USE_CASE", DOWNLOAD, {"configuration": {"input": None}}, "/configuration/input/url"),
    ],
)
def test_an_approver_does_not_change_what_is_called_or_with_which_rights(
    people: People, tool: str, configuration: JsonObject, change: JsonObject, place: str
) -> None:
    execution = saved_by_alice(people, tool, configuration)
    with pytest.raises(ResponseInvalid) as refused:
        answer(people, execution, {"action": "retry", **change})
    assert [problem.pointer for problem in refused.value.problems] == [place]
    assert question_of(execution).type == "INTERVENTION"


def test_an_approver_mends_values(people: People) -> None:
    execution = saved_by_alice(people, "API", API_CALL)
    row = BlockExecution.objects.get(execution=execution)
    changed: JsonObject = {"body": {"n": 2}, "timeout": 10}
    execution = answer(
        people, execution, {"action": "retry", "configuration": {**API_CALL, **changed}, "input": {"m": 1}}
    )
    row.refresh_from_db()
    assert row.input == {**API_CALL, **changed, "input": {"m": 1}}


def test_the_right_to_edit_counts_as_it_is_when_the_answer_is_taken(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = saved_by_alice(people, "API", API_CALL)
    admin = Membership.objects.create(user=people.alice, workspace=people.workspace, role=Role.ADMIN)
    locks = decisions.lock_approval

    def lock_late(seen: Approval) -> Approval:
        admin.delete()
        return locks(seen)

    monkeypatch.setattr(approvals, "lock_approval", lock_late)
    elsewhere: JsonObject = {"action": "retry", "configuration": {"endpoint": "http://evil.example/"}}
    with pytest.raises(ResponseInvalid):
        answer(people, execution, elsewhere)
    assert question_of(execution).status == "PENDING"


def test_who_edits_the_template_mends_what_is_called_and_is_checked_as_there(people: People) -> None:
    execution = saved_by_alice(people, "API", API_CALL)
    Membership.objects.create(user=people.alice, workspace=people.workspace, role=Role.ADMIN)
    wrong: JsonObject = {"action": "retry", "configuration": {"method": "DANCE"}}
    with pytest.raises(ResponseInvalid) as refused:
        answer(people, execution, wrong)
    assert refused.value.problems[0].pointer == "/configuration/method"
    answer(people, execution, {"action": "retry", "configuration": {"endpoint": "http://127.0.0.1:9/other"}})
    row = BlockExecution.objects.get(execution=execution)
    assert row.input == {**API_CALL, "endpoint": "http://127.0.0.1:9/other"}


# Work that is done, and whose way on failed


def lost_way(people: People, recovery: dict[str, Any] | None) -> Execution:
    """Run a block whose work is done, and none of whose conditions holds."""
    ways = [branch("urgency == 'high'", "call"), branch("urgency == 'low'", "mail")]
    block = noop("triage", {"seen": 1}, conditions={"branches": ways}, recovery=recovery)
    settings = {"urgency": "odd"}
    first = noop("first", settings)
    template = make_template(
        [first, {**block, "dependencies": ["first"]}, noop("call"), noop("mail")], workspace=people.workspace
    )
    execution = run_until_quiet(start(template))
    sweep()
    return assert_consistent(execution)


def test_a_person_finds_the_way_on_and_the_work_is_not_done_again(people: People) -> None:
    execution = lost_way(people, {"escalate": {}})
    assert execution.status == "WAITING_FOR_APPROVAL"
    assert_rebuilt(execution)
    question = question_of(execution)
    assert "NO_BRANCH_MATCHED" in question.message
    assert question.response_schema is not None
    assert question.response_schema["properties"]["action"]["enum"] == ["retry", "abort"]
    sweep()
    assert Approval.objects.filter(execution=execution).count() == 1
    execution = answer(people, execution, {"action": "retry", "input": {"urgency": "low"}})
    assert execution.status == "COMPLETED"
    assert statuses(execution) == {
        "first": "COMPLETED",
        "triage": "COMPLETED",
        "call": "SKIPPED",
        "mail": "COMPLETED",
    }
    assert event_types(execution).count("block_started") == 3
    assert [strategy for strategy, *_ in actions(execution)] == ["escalate", "retry"]


def test_a_way_that_is_still_not_clear_is_asked_about_again(people: People) -> None:
    execution = lost_way(people, {"escalate": {}})
    execution = answer(people, execution, {"action": "retry"})
    sweep()
    assert question_of(execution).type == "INTERVENTION"
    assert answer(people, execution, {"action": "abort"}).status == "FAILED"


def test_a_run_whose_way_on_failed_fails_where_nobody_is_to_be_asked(people: People) -> None:
    execution = lost_way(people, None)
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert execution.error["type"] == "NO_BRANCH_MATCHED"
    assert actions(execution) == []

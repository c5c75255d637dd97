"""Reviews: the work is done first, and what it made waits until somebody has looked at it, however it came."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals_app.errors import ApprovalClosed, ResponseInvalid
from approvals_app.models import Approval
from approvals_app.services.approvals import respond_to_approval
from approvals_app.services.timers import run_due_timers
from executions_app import parking, running
from executions_app.aftermath import follow_up
from executions_app.agent_statistics import count_work
from executions_app.callback_tokens import PATH
from executions_app.claiming import claim_block
from executions_app.errors import CallbackUsed
from executions_app.models import BlockExecution, BlockOutput, Execution
from executions_app.parking import take_back
from executions_app.running import work_on, write_outcome
from executions_app.services import children
from executions_app.services.callbacks import CallbackAnswer, take_callback
from executions_app.services.control import Asked, pause_execution, resume_execution
from executions_app.services.restart import Restart, restart_execution
from executions_app.services.signals import send_signal
from executions_app.sweeper import sweep
from executions_app.worker_identity import worker_id
from tests.consistency import assert_consistent, assert_rebuilt
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import branch, event_types, make_template, noop, start, statuses
from tests.failing_work import dying_at
from tests.misbehaving_server import MisbehavingServer, misbehaving_server
from tests.people import People, make_people, question_of
from tests.restarting import ran, work
from tests.waiting import go_on, let_time_pass, wait_block
from workflow_service.agents.limits import tool_limits
from workflow_service.agents.models import AgentStatistic
from workflow_service.engine.definition import JsonObject

pytestmark = pytest.mark.usefixtures("empty_queues")

REVIEW = {"required": True, "type": "REVIEW"}
ASKED = Asked("ada")
SAID = {"approved": True, "comments": "seen", "approver": "alice"}


@pytest.fixture(scope="module")
def people(db: None) -> People:
    return make_people()


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


def reviewed(block: dict[str, Any], **step: Any) -> dict[str, Any]:
    return block | {"humanInLoop": REVIEW | step}


def drafting(gives: JsonObject | None = None, /, **fields: Any) -> dict[str, Any]:
    """Return a block that counts how often it worked, and is reviewed."""
    return reviewed(work("draft", gives=gives or {"text": "hello"}), **fields)


def begun(people: People, *blocks: dict[str, Any], given: Any = None, **definition: Any) -> Execution:
    template = make_template(list(blocks), workspace=people.workspace, **definition)
    return checked(run_until_quiet(start(template, given)))


def checked(execution: Execution) -> Execution:
    assert_rebuilt(execution)
    return assert_consistent(execution)


def respond(
    people: People, question: Approval, response: JsonObject | None = None, *, approved: bool = True
) -> Approval:
    return respond_to_approval(
        approval_id=question.public_id,
        actor=people.alice,
        approved=approved,
        response=response,
        comments="seen",
        source="test",
    )


def answer(
    people: People, execution: Execution, response: JsonObject | None = None, *, approved: bool = True
) -> Execution:
    respond(people, question_of(execution), response, approved=approved)
    return checked(go_on(execution))


def output_of(execution: Execution, block_id: str = "draft") -> Any:
    found = BlockOutput.objects.filter(execution_id=execution.pk, block_id=block_id, superseded=False)
    return found.latest("pk").value


def questions(execution: Execution) -> int:
    return Approval.objects.filter(execution=execution).count()


# What a worker makes


def test_the_work_is_done_before_anybody_is_asked_and_counts_afterwards(people: People) -> None:
    step = {"message": "Is ${output.text} good?", "inputSchema": {"type": "object"}}
    execution = begun(people, drafting(**step), noop("after", {"got": "${text}"}, dependencies=["draft"]))
    assert execution.status == "WAITING_FOR_APPROVAL"
    assert statuses(execution) == {"draft": "WAITING"}
    assert not BlockOutput.objects.filter(execution_id=execution.pk).exists()
    question = question_of(execution)
    assert question.type == "REVIEW"
    assert question.proposed == {"draft_runs": 1, "text": "hello"}
    assert question.message == "Is hello good?"
    assert event_types(execution)[-4:-1] == ["block_waiting", "approval_requested", "execution_waiting"]
    execution = answer(people, execution)
    assert execution.status == "COMPLETED"
    assert output_of(execution) == {"draft_runs": 1, "text": "hello", **SAID}
    assert output_of(execution, "after") == {"got": "hello"}
    assert ran == ["draft"]
    row = BlockExecution.objects.get(execution=execution, block_id="draft")
    assert row.output_extra is None, "kept once"


def test_an_edit_takes_the_place_of_what_was_made(people: People) -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    execution = begun(
        people, drafting(inputSchema=schema), noop("after", {"got": "${text}"}, dependencies=["draft"])
    )
    refused: list[JsonObject] = [{"output": {"text": 3}}, {"output": {}}, {"output": []}, {"text": "bare"}]
    for wrong in refused:
        with pytest.raises(ResponseInvalid):
            respond(people, question_of(execution), wrong)
    execution = answer(people, execution, {"output": {"text": "goodbye"}})
    assert output_of(execution) == {"text": "goodbye", **SAID}
    assert output_of(execution, "after") == {"got": "goodbye"}


def test_a_rejected_review_ends_the_run(people: People) -> None:
    execution = answer(people, begun(people, drafting()), {"output": {"text": "mine"}}, approved=False)
    assert execution.status == "FAILED"
    assert statuses(execution) == {"draft": "REJECTED"}
    assert execution.error is not None
    assert execution.error["type"] == "APPROVAL_REJECTED"
    assert not BlockOutput.objects.filter(execution_id=execution.pk).exists()


def test_a_rejection_that_the_workflow_reads_begins_another_round_with_what_was_made(people: People) -> None:
    ways = {"branches": [branch("approved == False", "draft"), branch(None, "after")]}
    block = drafting() | {"dependencies": ["start"], "conditions": ways}
    execution = begun(people, block, noop("after", {"first": "${blocks.draft.output.draft_runs}"}))
    execution = answer(people, execution, approved=False)
    assert execution.status == "WAITING_FOR_APPROVAL", "every round asks for itself"
    rejected = BlockOutput.objects.get(execution_id=execution.pk, block_id="draft").value
    assert rejected == {**SAID, "approved": False, "proposed": {"draft_runs": 1, "text": "hello"}}
    execution = answer(people, execution)
    assert execution.status == "COMPLETED"
    assert output_of(execution, "after") == {"first": 2}


@pytest.mark.parametrize("kind", ["REVIEW", "APPROVAL"])
def test_a_loop_asks_in_every_round_though_nothing_changed(people: People, kind: str) -> None:
    ways = {"branches": [branch("count < 2", "count"), branch(None, "after")]}
    count = noop("count", {"count": "${default(count, 0) + 1}"}, dependencies=["start"])
    same = reviewed(noop("same", {"always": 1}, dependencies=["count"], conditions=ways), type=kind)
    execution = begun(people, count, same, noop("after"))
    first = question_of(execution)
    execution = answer(people, execution)
    assert question_of(execution).pk != first.pk
    assert question_of(execution).input_sha256 == first.input_sha256
    assert answer(people, execution).status == "COMPLETED"


@pytest.mark.parametrize(
    ("action", "draft"),
    [("approve", "COMPLETED"), ("reject", "COMPLETED"), ("fail", "FAILED")],
)
def test_the_end_of_a_review_s_time_does_what_the_step_says(people: People, action: str, draft: str) -> None:
    ways = {"branches": [branch("approved == True", "after"), branch(None, "other")]}
    block = drafting(onTimeout=action, dueIn=60_000) | {"conditions": ways}
    execution = begun(people, block, noop("after"), noop("other"))
    run_due_timers(now=timezone.now() + timedelta(minutes=2))
    execution = checked(go_on(execution))
    assert statuses(execution)["draft"] == draft
    if draft == "COMPLETED":
        assert output_of(execution)["approved"] is (action == "approve")
        assert statuses(execution)["after"] == ("COMPLETED" if action == "approve" else "SKIPPED")
    else:
        assert execution.error is not None
        assert execution.error["type"] == "APPROVAL_TIMEOUT"
    assert ran == ["draft"]


@pytest.mark.parametrize("made", [{}, [], 0, "text", None, {"approved": False}], ids=repr)
def test_any_output_can_be_reviewed(people: People, made: Any) -> None:
    execution = begun(people, reviewed(noop("draft") | {"configuration": {"output": made}}))
    assert question_of(execution).proposed == made
    execution = answer(people, execution)
    assert execution.status == "COMPLETED"
    assert output_of(execution) == ({**SAID, **made} if isinstance(made, dict) else made)


def test_a_step_without_work_has_its_input_reviewed(people: People) -> None:
    block = {"blockId": "draft", "toolType": "HUMAN", "configuration": {"input": {"total": "${sum}"}}}
    execution = begun(people, noop("add", {"sum": 7}), reviewed(block) | {"dependencies": ["add"]})
    assert question_of(execution).proposed == {"total": 7}
    execution = answer(people, execution, {"output": {"total": 8}})
    assert output_of(execution) == {"total": 8, **SAID}


def test_the_workflow_s_defaults_may_ask_for_reviews(people: People) -> None:
    settings = {"humanInLoopDefaults": {"type": "REVIEW", "message": "Look."}}
    block = work("draft") | {"humanInLoop": {"required": True}}
    execution = begun(people, block, globalSettings=settings)
    assert (question_of(execution).type, question_of(execution).message) == ("REVIEW", "Look.")
    assert ran == ["draft"]
    assert answer(people, execution).status == "COMPLETED"


def test_a_question_that_cannot_be_asked_fails_the_block(people: People) -> None:
    execution = begun(people, drafting(message="${nothing}"))
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert execution.error["type"] == "CONFIGURATION_ERROR"


def test_every_item_of_a_map_asks_for_itself(people: People) -> None:
    block = reviewed(noop("draft", {"n": "${item}"})) | {"forEach": "workflow.input.all"}
    block["maxConcurrency"] = 2
    execution = begun(people, block, given={"all": [1, 1, 2]})
    asked = list(Approval.objects.filter(execution=execution).order_by("id"))
    assert [question.proposed for question in asked] == [{"n": 1}, {"n": 1}]
    respond(people, asked[0], {"output": {"n": 10}})
    execution = checked(go_on(execution))
    respond(people, asked[1])
    execution = answer(people, go_on(execution), approved=False)
    assert questions(execution) == 3
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert execution.error["type"] == "MAP_FAILED"
    restart_execution(execution.pk, ASKED, Restart())
    execution = checked(run_until_quiet(execution))
    assert questions(execution) == 4, "only what was rejected is asked about again"
    execution = answer(people, execution)
    assert [one["n"] for one in output_of(execution)["results"]] == [10, 1, 2]


def test_a_map_of_nothing_asks_nobody(people: People) -> None:
    block = reviewed(noop("draft", {"n": "${item}"})) | {"forEach": "workflow.input.all"}
    assert begun(people, block, given={"all": []}).status == "COMPLETED"


# What comes otherwise


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[MisbehavingServer]:
    limits = replace(tool_limits(), egress_allow=("127.0.0.1",))
    monkeypatch.setattr(running, "tool_limits", lambda: limits)
    with misbehaving_server() as server:
        yield server


def test_what_an_agent_calls_back_is_reviewed(people: People, agent: MisbehavingServer) -> None:
    configuration = {"endpoint": agent.url("/status/202"), "method": "POST", "body": {}, "callback": True}
    execution = begun(
        people, reviewed({"blockId": "draft", "toolType": "API", "configuration": configuration})
    )
    assert questions(execution) == 0
    token = agent.requests[-1].headers["workflow-callback-url"].rpartition(PATH)[2]
    assert take_callback(token, CallbackAnswer(output={"pages": 12}))
    execution = checked(go_on(execution))
    assert execution.status == "WAITING_FOR_APPROVAL"
    assert question_of(execution).proposed == {"pages": 12}
    with pytest.raises(CallbackUsed):
        take_callback(token, CallbackAnswer(output={"pages": 13}))
    execution = let_time_pass(execution)
    execution = answer(people, execution, {"output": {"pages": 11}})
    assert output_of(execution) == {"pages": 11, **SAID}
    assert len(agent.requests) == 1


def test_what_a_callback_brought_before_the_block_waited_is_reviewed(
    people: People, agent: MisbehavingServer
) -> None:
    configuration = {"endpoint": agent.url("/status/202"), "method": "POST", "body": {}, "callback": True}
    block = reviewed({"blockId": "draft", "toolType": "API", "configuration": configuration})
    execution = start(make_template([block], workspace=people.workspace))
    claim = claim_block(execution.pk, queued_blocks(execution)[0], worker_id()).claim
    assert claim is not None
    outcome = work_on(claim)
    token = agent.requests[-1].headers["workflow-callback-url"].rpartition(PATH)[2]
    assert not take_callback(token, CallbackAnswer(output={"pages": 12}))
    follow_up(write_outcome(claim, outcome, None), execution.pk)
    execution = checked(go_on(execution))
    assert execution.status == "WAITING_FOR_APPROVAL"
    assert answer(people, execution).status == "COMPLETED"


@pytest.mark.parametrize("kept", [False, True], ids=["waiting", "kept"])
def test_what_a_signal_brings_is_reviewed(people: People, kept: bool) -> None:
    template = make_template([reviewed(wait_block("draft", signal="paid"))], workspace=people.workspace)
    execution = start(template)
    if not kept:
        run_until_quiet(execution)
    send_signal(execution=execution, name="paid", payload=3)
    execution = checked(go_on(execution))
    assert execution.status == "WAITING_FOR_APPROVAL"
    send_signal(execution=execution, name="paid", payload=4)
    execution = answer(people, execution)
    assert output_of(execution) == {"signal": "paid", "payload": 3, "timedOut": False, **SAID}


def test_the_end_of_a_wait_is_reviewed(people: People) -> None:
    execution = let_time_pass(begun(people, reviewed(wait_block("draft", duration=60_000))))
    assert checked(execution).status == "WAITING_FOR_APPROVAL"
    assert answer(people, execution).status == "COMPLETED"


def calling(people: People, *blocks: dict[str, Any]) -> dict[str, Any]:
    child = make_template(list(blocks), workspace=people.workspace)
    configuration = {"template": child.public_id, "input": {}}
    return reviewed({"blockId": "draft", "toolType": "SUBWORKFLOW", "configuration": configuration})


def test_what_a_sub_workflow_made_is_reviewed(people: People) -> None:
    execution = checked(go_on(begun(people, calling(people, noop("inner", {"rows": 4})))))
    assert execution.status == "WAITING_FOR_APPROVAL"
    assert question_of(execution).proposed == {"rows": 4}
    sweep()
    assert questions(execution) == 1
    assert output_of(answer(people, execution)) == {"rows": 4, **SAID}


def test_the_end_of_a_sub_workflow_that_nobody_told_is_reviewed_by_the_sweeper(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = begun(people, calling(people, noop("inner", {"rows": 4})))
    with monkeypatch.context() as patched:
        patched.setattr("executions_app.aftermath.end_waiting_block", lambda child_id: None)
        go_on(execution)
    assert questions(execution) == 0
    assert children.find_unreported()
    sweep()
    execution = checked(go_on(execution))
    assert question_of(execution).proposed == {"rows": 4}
    assert answer(people, execution).status == "COMPLETED"


def test_a_review_within_a_sub_workflow_holds_up_its_parent(people: People) -> None:
    block = calling(people, drafting()) | {"humanInLoop": {}}
    execution = checked(go_on(begun(people, block)))
    assert execution.status == "WAITING_FOR_APPROVAL"
    child = Execution.objects.get(parent=execution)
    respond(people, question_of(child), {"output": {"text": "edited"}})
    execution = checked(go_on(execution))
    assert execution.status == "COMPLETED"
    assert output_of(execution)["text"] == "edited"


# Restarts


def test_what_was_approved_stands_for_a_restart_that_makes_it_again(people: People) -> None:
    execution = begun(
        people, reviewed(noop("draft", {"text": "hello"})), noop("after", dependencies=["draft"])
    )
    execution = answer(people, execution, {"output": {"text": "edited"}})
    restart_execution(execution.pk, ASKED, Restart(from_block="draft"))
    execution = checked(run_until_quiet(execution))
    assert execution.status == "COMPLETED"
    assert questions(execution) == 1
    assert output_of(execution) == {"text": "edited", **SAID}


def test_another_output_of_the_same_input_is_asked_about(people: People) -> None:
    execution = answer(people, begun(people, drafting()))
    restart_execution(execution.pk, ASKED, Restart(from_block="draft"))
    execution = checked(run_until_quiet(execution))
    assert question_of(execution).proposed == {"draft_runs": 2, "text": "hello"}
    assert answer(people, execution).status == "COMPLETED"


def test_a_rejected_review_is_done_and_asked_about_again(people: People) -> None:
    execution = answer(people, begun(people, reviewed(noop("draft", {"text": "hello"}))), approved=False)
    restart_execution(execution.pk, ASKED, Restart())
    execution = checked(run_until_quiet(execution))
    assert execution.status == "WAITING_FOR_APPROVAL"
    assert questions(execution) == 2
    assert answer(people, execution).status == "COMPLETED"


def test_each_item_finds_its_own_answer_again(people: People) -> None:
    block = reviewed(noop("draft", {"same": 1})) | {"forEach": "workflow.input.all"}
    execution = begun(people, block, noop("after", dependencies=["draft"]), given={"all": [1, 2]})
    asked = list(Approval.objects.filter(execution=execution).order_by("id"))
    respond(people, asked[0], {"output": {"same": "first"}})
    respond(people, asked[1], {"output": {"same": "second"}})
    execution = checked(go_on(execution))
    restart_execution(execution.pk, ASKED, Restart(from_block="draft"))
    execution = checked(run_until_quiet(execution))
    assert execution.status == "COMPLETED"
    assert [one["same"] for one in output_of(execution)["results"]] == ["first", "second"]
    assert questions(execution) == 2


def test_a_pause_keeps_a_review_and_takes_its_answer(people: People) -> None:
    execution = begun(people, drafting(), noop("after", dependencies=["draft"]))
    pause_execution(execution.pk, ASKED)
    execution = answer(people, execution)
    assert execution.status == "PAUSED"
    assert statuses(execution)["draft"] == "COMPLETED"
    resume_execution(execution.pk, ASKED)
    assert checked(run_until_quiet(execution)).status == "COMPLETED"
    assert ran == ["draft"]


# Deaths


def test_a_process_that_dies_before_the_question_is_written_has_done_nothing(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = start(make_template([drafting()], workspace=people.workspace))
    (row_id,) = queued_blocks(execution)
    with dying_at(monkeypatch, parking, "conclude_locked"), monkeypatch.context() as patched:
        patched.setattr(running, "find_orphans", lambda worker: [])
        running.run_blocks(execution.pk, row_id, "default")
    assert questions(execution) == 0
    row = BlockExecution.objects.get(pk=row_id)
    assert row.output_extra is None
    follow_up(take_back(execution.pk, [(row_id, row.fence)]), execution.pk)
    execution = checked(run_until_quiet(execution))
    assert question_of(execution).proposed == {"draft_runs": 2, "text": "hello"}
    assert answer(people, execution).status == "COMPLETED"


def test_a_result_that_is_written_twice_and_messages_that_come_again_ask_once(people: People) -> None:
    execution = start(make_template([drafting()], workspace=people.workspace))
    (row_id,) = queued_blocks(execution)
    claim = claim_block(execution.pk, row_id, worker_id()).claim
    assert claim is not None
    outcome = work_on(claim)
    assert write_outcome(claim, outcome, None).accepted
    assert not write_outcome(claim, outcome, None).accepted, "the answer to the commit was lost"
    assert running.run_blocks(execution.pk, row_id, "default") == 0
    sweep()
    assert questions(execution) == 1
    execution = answer(people, execution, {"output": {"text": "kept"}})
    assert running.run_blocks(execution.pk, row_id, "default") == 0
    assert not write_outcome(claim, outcome, None).accepted
    assert output_of(execution) == {"text": "kept", **SAID}


def test_an_answer_whose_process_dies_is_not_lost_and_not_asked_for_again(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = begun(people, drafting(), noop("after", dependencies=["draft"]))
    question = question_of(execution)
    with monkeypatch.context() as patched:
        patched.setattr("approvals_app.services.approvals.follow_up", lambda *_: None)
        respond(people, question, {"output": {"text": "kept"}})
    left_at = timezone.now() - timedelta(seconds=10)
    left = BlockExecution.objects.filter(execution=execution, status="COMPLETED", settled=False)
    assert left.update(finished_at=left_at) == 1
    sweep()
    execution = checked(go_on(execution))
    assert execution.status == "COMPLETED"
    assert output_of(execution) == {"text": "kept", **SAID}
    assert questions(execution) == 1


def test_what_waits_for_a_review_is_given_up_with_its_run(people: People) -> None:
    failing = wait_block("nap", until="2000-01-01T00:00:00Z")
    refused = reviewed(noop("refused", {"b": 1}, dependencies=["nap"]))
    execution = begun(people, drafting(), failing, refused)
    question = Approval.objects.get(execution=execution, block_id="draft")
    respond(people, Approval.objects.get(execution=execution, block_id="refused"), approved=False)
    execution = checked(go_on(execution))
    assert execution.status == "FAILED"
    assert statuses(execution)["draft"] == "CANCELLED"
    with pytest.raises(ApprovalClosed):
        respond(people, question)


@pytest.mark.parametrize("approved", [True, False], ids=["approved", "rejected"])
def test_work_is_undone_whether_or_not_it_was_approved(people: People, approved: bool) -> None:
    """What a block did is done before anybody looks; a run that fails takes it back in any case."""
    undo = work("undo", reads={"made": "${output.text}"})["configuration"]
    undo["input"]["gives"] = {}
    undo["input"]["name"] = "undo-${output.text}"
    block = drafting() | {"recovery": {"compensate": {"configuration": undo}}}
    after = reviewed(noop("after", {"c": 1}, dependencies=["draft"]))
    execution = answer(people, begun(people, block, after), approved=approved)
    if approved:
        execution = answer(people, execution, approved=False)
    assert execution.status == "FAILED"
    assert ran == ["draft", "undo-hello"]
    assert json.dumps(execution.error).count("APPROVAL_REJECTED") == 1


def test_how_long_people_look_is_not_the_agent_s_time(people: People) -> None:
    execution = begun(people, reviewed(noop("draft", {"a": 1}, agentId="drafter")))
    answer(people, execution)
    count_work()
    counted = AgentStatistic.objects.get(agent_id="drafter")
    assert (counted.tries, counted.succeeded, counted.average_ms) == (1, 1, None)

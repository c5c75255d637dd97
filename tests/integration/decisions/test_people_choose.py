"""People who choose the way of a run: what they are asked and shown, what they may answer, and what becomes of it."""

from typing import Any

import pytest

from approvals_app.errors import ResponseInvalid
from approvals_app.models import Approval
from approvals_app.selectors import find_standing_approval
from approvals_app.services.approvals import respond_to_approval
from executions_app.handlers import BlockWork
from executions_app.models import Execution
from tests.consistency import assert_consistent, assert_rebuilt
from tests.driver import run_until_quiet
from tests.factories import error_of, event_types, make_template, start
from tests.moods import in_mood
from tests.people import People, make_people, question_of
from tests.questions import chosen, decision_of, gone_on, run_triage, triage
from workflow_service.decisions.models import Decision
from workflow_service.engine.definition import Block

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def people() -> People:
    return make_people()


def answer(people: People, execution: Execution, response: Any, *, approved: bool = True) -> Execution:
    question = question_of(execution)
    respond_to_approval(
        approval_id=question.public_id,
        actor=people.alice,
        approved=approved,
        response=response,
        comments="I know them",
        source="api",
    )
    return run_until_quiet(execution)


def test_a_person_is_shown_what_the_model_thinks_and_chooses(people: People) -> None:
    with in_mood("good", chosen("calm", 40)):
        execution = run_triage(workspace=people.workspace)
    question = question_of(execution)
    assert (question.type, question.block_id) == ("CHOICE", "triage")
    for part in ("40 % sure", "70 % are wanted", "calm", "the message says so"):
        assert part in question.message
    assert question.input == {"message": "Where is my money?", "mood": "bad"}
    assert question.response_schema is not None
    assert question.response_schema["properties"]["choice"]["enum"] == ["calm", "refund", "else"]
    assert "approval_requested" in event_types(execution)
    assert_consistent(execution)
    answer(people, execution, {"choice": "refund"})
    assert (execution.status, gone_on(execution)) == ("COMPLETED", {"refund"})
    decision = decision_of(execution)
    assert (decision.source, decision.chosen, decision.decided_by) == ("person", ["refund"], "alice")
    assert decision.reasoning == "I know them"
    assert_consistent(execution)
    assert_rebuilt(execution)
    # What the model was asked for is paid for, whoever decides.
    assert decision.cost_usd > 0


def test_nothing_but_a_declared_branch_is_an_answer(people: People) -> None:
    execution = run_triage(
        {"fallback": ["person"]}, workspace=people.workspace, options={"enableAiDecisions": False}
    )
    for response in (
        {"choice": "delete_everything"},
        {"choice": ["calm"]},
        {},
        None,
        {"choice": "calm", "edges": [0]},
    ):
        with pytest.raises(ResponseInvalid):
            answer(people, execution, response)
    assert gone_on(execution) == set()


def test_who_finds_none_right_ends_the_run(people: People) -> None:
    execution = run_triage(
        {"fallback": ["person"]}, workspace=people.workspace, options={"enableAiDecisions": False}
    )
    answer(people, execution, None, approved=False)
    assert execution.status == "FAILED"
    assert error_of(execution)["type"] == "APPROVAL_REJECTED"
    assert not Decision.objects.exists()


def test_a_destructive_branch_wants_a_persons_yes(people: People) -> None:
    with in_mood("good", chosen("refund", 100)):
        execution = run_triage({"confirm": ["refund"]}, workspace=people.workspace)
    assert execution.status == "WAITING_FOR_APPROVAL"
    assert gone_on(execution) == set()
    assert "say yes before 'refund'" in question_of(execution).message
    answer(people, execution, {"choice": "refund"})
    assert gone_on(execution) == {"refund"}


def test_what_a_person_decided_does_not_confirm_the_next_run(people: People) -> None:
    template = make_template(triage({"confirm": ["refund"]}), workspace=people.workspace)
    with in_mood("good", chosen("refund", 100)):
        execution = run_until_quiet(start(template))
        answer(people, execution, {"choice": "refund"})
        again = run_until_quiet(start(template))
    assert again.status == "WAITING_FOR_APPROVAL"


def test_what_a_person_decided_is_known_in_like_cases(people: People) -> None:
    template = make_template(triage(), workspace=people.workspace)
    with in_mood("good", chosen("calm", 40)) as server:
        answer(people, run_until_quiet(start(template)), {"choice": "refund"})
        again = run_until_quiet(start(template))
    assert server.calls == 1
    assert (gone_on(again), decision_of(again).source) == ({"refund"}, "history")
    assert "alice decided so" in decision_of(again).reasoning


def test_several_ways_may_be_chosen_where_several_are_taken(people: People) -> None:
    execution = run_triage(
        {"fallback": ["person"]},
        mode="inclusive",
        workspace=people.workspace,
        options={"enableAiDecisions": False},
    )
    answer(people, execution, {"choice": ["calm", "refund"]})
    assert gone_on(execution) == {"calm", "refund"}


def test_none_of_the_others_is_not_chosen_beside_others(people: People) -> None:
    execution = run_triage(
        {"fallback": ["person"]},
        mode="inclusive",
        workspace=people.workspace,
        options={"enableAiDecisions": False},
    )
    with pytest.raises(ResponseInvalid):
        answer(people, execution, {"choice": ["calm", "else"]})
    answer(people, execution, {"choice": ["else"]})
    assert gone_on(execution) == {"answer"}


def test_those_whom_the_policy_names_are_asked(people: People) -> None:
    policy = {"fallback": ["person"], "people": {"assignees": ["bob"], "message": "Please look."}}
    execution = run_triage(policy, workspace=people.workspace, options={"enableAiDecisions": False})
    question = question_of(execution)
    assert question.assignees == ["bob"]
    assert question.message.startswith("Please look.")


def test_a_choice_is_no_approval_of_the_block(people: People) -> None:
    """The same words under the block's own name must not pass for a yes to its work."""
    execution = run_triage(
        {"fallback": ["person"]}, workspace=people.workspace, options={"enableAiDecisions": False}
    )
    answer(people, execution, {"choice": "calm"})
    asked = Approval.objects.get(execution=execution)
    work = BlockWork(
        execution.pk, execution.public_id, people.workspace.pk, "", asked.block_execution_id, 1,
        Block(block_id="triage"), asked.input, asked.input_sha256,
    )  # fmt: skip
    assert find_standing_approval(work, lambda: asked.message) is None

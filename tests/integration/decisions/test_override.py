"""A person says what was right: the run turns where it still can, and like cases follow."""

import pytest

from executions_app import running
from executions_app.claiming import claim_block
from executions_app.models import BlockExecution, Execution
from executions_app.worker_identity import worker_id
from tests.caller import problem_of
from tests.consistency import assert_consistent, assert_rebuilt
from tests.driver import run_until_quiet
from tests.factories import event_types, make_template, noop, start
from tests.house import House, make_house
from tests.moods import in_mood
from tests.questions import chosen, decide_only, decision_of, gone_on, triage
from workflow_service.accounts.models import Role
from workflow_service.audit.models import AuditEntry
from workflow_service.decisions.models import Decision

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def house() -> House:
    return make_house()


def decided(house: House, policy: object = None, answer: str = "calm") -> Execution:
    """Return a run whose question is answered, and whose next block is queued."""
    template = make_template(triage(policy), workspace=house.workspace)  # type: ignore[arg-type]
    with in_mood("good", chosen(answer)):
        return decide_only(start(template))


def test_the_run_turns_while_the_branch_has_not_begun(house: House) -> None:
    execution = decided(house)
    old = decision_of(execution)
    operator = house.caller(Role.OPERATOR)
    body = operator.post(
        f"decisions/{old.public_id}/override", {"choice": ["refund"], "reason": "polite, but clear"}
    ).json()
    assert body["chosen"] == ["calm"]
    assert body["override"]["choice"] == ["refund"]
    assert (body["override"]["reason"], body["override"]["rerouted"]) == ("polite, but clear", True)
    with in_mood("dead", None):
        run_until_quiet(execution)
    assert (execution.status, gone_on(execution)) == ("COMPLETED", {"refund"})
    newest = Decision.objects.filter(execution=execution).latest("id")
    assert (newest.source, newest.chosen) == ("history", ["refund"])
    assert event_types(execution).count("ai_decision") == 2
    assert_consistent(execution)
    assert_rebuilt(execution)
    entry = AuditEntry.objects.get(action="decision.override")
    assert entry.target_id == old.public_id


def test_its_own_run_turns_even_where_history_is_off(house: House) -> None:
    execution = decided(house, {"history": None})
    house.caller(Role.ADMIN).post(
        f"decisions/{decision_of(execution).public_id}/override", {"choice": ["else"]}
    )
    with in_mood("good", chosen("calm")):
        run_until_quiet(execution)
    assert gone_on(execution) == {"answer"}


def test_what_is_to_be_confirmed_is_asked_for_after_an_override_too(house: House) -> None:
    execution = decided(house, {"confirm": ["refund"]})
    house.caller(Role.ADMIN).post(
        f"decisions/{decision_of(execution).public_id}/override", {"choice": ["refund"]}
    )
    run_until_quiet(execution)
    assert (execution.status, gone_on(execution)) == ("WAITING_FOR_APPROVAL", set())


def test_what_has_begun_stays_and_like_cases_follow(house: House) -> None:
    execution = run_until_quiet(decided(house))
    path = f"decisions/{decision_of(execution).public_id}/override"
    operator = house.caller(Role.OPERATOR)
    for _ in range(2):
        body = operator.post(path, {"choice": ["refund"]}).json()
        assert body["override"]["rerouted"] is False
    execution.refresh_from_db()
    assert gone_on(execution) == {"calm"}
    with in_mood("good", chosen("calm")) as server:
        again = run_until_quiet(start(execution.template))
    assert server.calls == 0
    assert (gone_on(again), decision_of(again).source) == ({"refund"}, "history")


def test_work_that_another_way_led_to_is_not_done_again_to_turn_a_run(house: House) -> None:
    """``last`` follows ``calm`` or ``side``, and ``side`` has led there already."""
    blocks = [*triage(), noop("side"), noop("last", dependencies=["calm", "side"], join="any")]
    with in_mood("good", chosen("calm")):
        execution = start(make_template(blocks, workspace=house.workspace))
        for name in ("triage", "triage?", "side", "last"):
            row = BlockExecution.objects.get(execution=execution, block_id=name, status="QUEUED")
            claim = claim_block(execution.pk, row.pk, worker_id()).claim
            assert claim is not None
            running.write_outcome(claim, running.work_on(claim), None)
    last = BlockExecution.objects.get(execution=execution, block_id="last")
    body = (
        house.caller(Role.OPERATOR)
        .post(f"decisions/{decision_of(execution).public_id}/override", {"choice": ["refund"]})
        .json()
    )
    last.refresh_from_db()
    assert (last.status, last.superseded, body["override"]["rerouted"]) == ("COMPLETED", False, False)
    run_until_quiet(execution)
    assert gone_on(execution) == {"calm"}


def test_nothing_but_a_way_of_the_decision_is_right(house: House) -> None:
    execution = decided(house)
    path = f"decisions/{decision_of(execution).public_id}/override"
    admin = house.caller(Role.ADMIN)
    for wrong in (["delete_everything"], ["calm", "refund"], ["triage"]):
        problem_of(admin.post(path, {"choice": wrong}), 422, "CHOICE_INVALID")
    problem_of(admin.post(path, {"choice": []}), 422, "INVALID_REQUEST")
    assert Decision.objects.get().override is None


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.APPROVER, Role.VIEWER])
def test_who_may_not_override(house: House, role: Role) -> None:
    execution = decided(house)
    path = f"decisions/{decision_of(execution).public_id}/override"
    problem_of(house.caller(role).post(path, {"choice": ["refund"]}), 403, "FORBIDDEN")


@pytest.mark.parametrize("ended", [False, True])
def test_the_starter_does_not_turn_what_wants_four_eyes(house: House, ended: bool) -> None:
    execution = decided(house, {"people": {"fourEyes": True}})
    Execution.objects.filter(pk=execution.pk).update(created_by=house.members[Role.OPERATOR])
    if ended:
        run_until_quiet(execution)
    path = f"decisions/{decision_of(execution).public_id}/override"
    problem_of(house.caller(Role.OPERATOR).post(path, {"choice": ["refund"]}), 403, "FOUR_EYES")
    assert decision_of(execution).override is None
    body = house.caller(Role.ADMIN).post(path, {"choice": ["refund"]}).json()
    assert body["override"]["rerouted"] is not ended


def test_decisions_are_read_in_their_workspace(house: House) -> None:
    execution = run_until_quiet(decided(house))
    decision = decision_of(execution)
    viewer, stranger = house.caller(Role.VIEWER), make_house().caller(Role.ADMIN)
    listed = viewer.get(f"executions/{execution.public_id}/decisions").json()
    assert [one["decisionId"] for one in listed["decisions"]] == [decision.public_id]
    assert listed["decisions"][0]["options"][0] == {
        "key": "calm",
        "text": "the customer is angry",
        "targets": ["calm"],
    }
    for query, found in (
        ({}, 1),
        ({"source": "model"}, 1),
        ({"source": "person"}, 0),
        ({"maxConfidence": "50"}, 0),
        ({"search": "message says"}, 1),
        ({"overridden": "true"}, 0),
        ({"blockId": "triage", "templateId": execution.template.public_id}, 1),
    ):
        assert viewer.get("decisions", query).json()["total"] == found, query
    assert viewer.get(f"decisions/{decision.public_id}").json()["confidence"] == 90
    for path in (f"decisions/{decision.public_id}", f"executions/{execution.public_id}/decisions"):
        assert stranger.get(path).status_code == 404
    assert stranger.get("decisions").json()["total"] == 0
    problem_of(
        stranger.post(f"decisions/{decision.public_id}/override", {"choice": ["refund"]}),
        404,
        "DECISION_NOT_FOUND",
    )


def test_document_b_tells_decisions_of_a_run(house: House) -> None:
    execution = run_until_quiet(decided(house))
    path = f"executions/{execution.public_id}"
    body = house.caller().get(path, {"view": "b"}).json()
    (told,) = body["ai_decisions"]
    assert (told["state"], told["decision"]) == ("triage", "Route to calm")
    assert (told["reasoning"], told["confidence"]) == ("the message says so", 90)
    ways = {way["to_state"]: way for way in house.caller().get(f"{path}/history").json()["transitions"]}
    assert (ways["calm"]["ai_decision_used"], ways["calm"]["ai_confidence_score"]) == (True, 90)


def test_a_run_may_be_started_without_models(house: House) -> None:
    template = make_template(triage(rules=True), workspace=house.workspace)
    started = (
        house.caller()
        .post("executions", {"templateId": template.public_id, "options": {"enableAiDecisions": False}})
        .json()
    )
    execution = Execution.objects.get(public_id=started["executionId"])
    with in_mood("good", chosen("refund")) as server:
        run_until_quiet(execution)
    assert server.calls == 0
    assert decision_of(execution).source == "expression"

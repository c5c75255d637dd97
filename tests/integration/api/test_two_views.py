"""Document A's view of a run, document B's, and the history: they tell one story of when it began, ended, and where."""

from typing import Any

import pytest
from django.utils.dateparse import parse_datetime

from executions_app.claiming import claim_block
from executions_app.finishing import Result, finish_block
from executions_app.models import Execution, ExecutionEvent
from executions_app.services.control import cancel_execution, pause_execution, resume_execution
from executions_app.services.restart import Restart, restart_execution
from executions_app.worker_identity import worker_id
from templates_app.plans import compiled_version
from tests.caller import Caller
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import branch, make_template, noop, start
from tests.house import House
from tests.restarting import ADA, claim_one
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.plan import NodeKind
from workflow_service.engine.states import BlockStatus

pytestmark = pytest.mark.django_db(transaction=True)

BROKEN = {"toolType": "USE_CASE", "configuration": {"useCase": "no.such"}}


def views(
    caller: Caller, execution: Execution
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Return a run as A and as B have it, and its transitions, once they were found to agree."""
    path = f"executions/{execution.public_id}"
    a, b = caller.get(path, {"view": "a"}).json(), caller.get(path, {"view": "b"}).json()
    ways = caller.get(f"{path}/history").json()["transitions"]
    (entry,) = [
        each
        for each in caller.get("executions").json()["executions"]
        if each["executionId"] == a["executionId"]
    ]
    assert (a["startedAt"], a["completedAt"]) == (b["start_time"], b["end_time"])
    assert (entry["startedAt"], entry["completedAt"]) == (a["startedAt"], a["completedAt"])
    assert a["status"].lower().replace("starting", "pending") in (b["status"], "waiting_for_approval")
    if a["completedAt"] is None:
        assert (b["duration_ms"], b["final_context"]) == (None, None)
    else:
        began, ended = parse_datetime(a["startedAt"]), parse_datetime(a["completedAt"])
        assert began is not None
        assert ended is not None
        assert (
            b["duration_ms"]
            == a["metrics"]["executionTime"]
            == round((ended - began).total_seconds() * 1_000)
        )
    assert b["error_count"] == a["progress"]["failedBlocks"]
    assert ("end" in b["states_visited"]) == any(way["to_state"] == "end" for way in ways), ways
    if ways:
        assert ways[0]["timestamp"] == a["startedAt"]
    return a, b, ways


def test_a_paused_run_has_not_ended_in_either(developer: Caller, house: House) -> None:
    execution = start(make_template([noop("a"), noop("b", dependencies=["a"])], workspace=house.workspace))
    views(developer, execution)
    pause_execution(execution.pk, ADA)
    assert views(developer, execution)[1]["status"] == "paused"
    resume_execution(execution.pk, ADA)
    run_until_quiet(execution)
    _, b, _ = views(developer, execution)
    assert (b["status"], b["current_state"]) == ("completed", "end")
    told = ExecutionEvent.objects.get(execution_id=execution.pk, type="execution_completed")
    assert told.data["durationMs"] == b["duration_ms"]


def test_a_cancelled_run_has_ended_in_both_and_its_late_work_changes_neither(
    developer: Caller, house: House
) -> None:
    execution = start(make_template([noop("a"), noop("b", dependencies=["a"])], workspace=house.workspace))
    claim = claim_one(execution)
    standing = cancel_execution(execution.pk, ADA)
    before = views(developer, execution)
    a, b, _ = before
    assert (b["status"], b["current_state"]) == ("cancelled", "a")
    assert standing.at is not None
    assert parse_datetime(a["completedAt"]) == standing.at
    finish_block(claim, Result(BlockStatus.COMPLETED, output={}))
    assert views(developer, execution) == before


def test_a_restarted_run_goes_on_in_both_and_ends_anew(developer: Caller, house: House) -> None:
    blocks = [noop("a"), BROKEN | {"blockId": "b", "dependencies": ["a"]}, noop("c", dependencies=["b"])]
    execution = run_until_quiet(start(make_template(blocks, workspace=house.workspace)))
    failed, b, _ = views(developer, execution)
    assert (b["status"], b["current_state"]) == ("failed", "b")
    restart_execution(execution.pk, ADA, Restart(from_block="b", skip={"b": {}}))
    again, b, _ = views(developer, execution)
    assert (again["startedAt"], again["completedAt"]) == (failed["startedAt"], None)
    assert b["error"] is None
    run_until_quiet(execution)
    done, b, ways = views(developer, execution)
    assert b["status"] == "completed"
    assert done["completedAt"] > failed["completedAt"]
    assert [way["from_state"] for way in ways if way["to_state"] == "end"] == ["c"]


def test_one_way_may_come_to_the_end_where_another_fails(developer: Caller, house: House) -> None:
    blocks = [noop("a"), noop("good", dependencies=["a"]), BROKEN | {"blockId": "bad", "dependencies": ["a"]}]
    template = make_template(
        blocks,
        workspace=house.workspace,
        endDependencies=["good", "bad"],
        globalSettings={"onFailure": "continue"},
    )
    execution = run_until_quiet(start(template))
    _, b, ways = views(developer, execution)
    assert (b["status"], "end" in b["states_visited"]) == ("failed", True)
    assert b["current_state"] in ("good", "bad"), "a run that failed is not at its end"
    assert [way["from_state"] for way in ways if way["to_state"] == "end"] == ["good"]


def test_a_run_that_ends_in_a_loop_ends_once(developer: Caller, house: House) -> None:
    blocks = [
        noop("begin", {"n": 0}),
        noop("work", {"n": "${n + 1}"}, dependencies=["begin"]),
        noop("ask", dependencies=["work"], conditions={"branches": [branch("n < 3", "work")]}),
    ]
    ways = blocks[-1]["conditions"]["branches"]
    ways.append(branch(None, "done"))
    blocks.append(noop("done"))
    execution = run_until_quiet(start(make_template(blocks, workspace=house.workspace)))
    _, _, found = views(developer, execution)
    assert [way["from_state"] for way in found if way["to_state"] == "end"] == ["done"]


def test_a_way_that_a_language_model_chose_tells_its_reasons(developer: Caller, house: House) -> None:
    question = {"nextBlocks": ["escalate"], "question": "the customer sounds angry"}
    blocks = [
        noop("ask", conditions={"branches": [question, branch(None, "close")]}),
        noop("escalate"),
        noop("close"),
    ]
    execution = start(make_template(blocks, workspace=house.workspace))
    plan = compiled_version(execution.version_id).plan
    ask = claim_one(execution)
    finish_block(ask, Result(BlockStatus.COMPLETED, output={}))
    (decide,) = [node for node in plan.nodes if node.kind is NodeKind.DECIDE]
    (chosen,) = decide.routing.branches[0].edges
    claim = claim_block(execution.pk, queued_blocks(execution)[0], worker_id()).claim
    assert claim is not None
    answer: JsonObject = {"edges": [chosen], "reasoning": "three exclamation marks", "confidence": 87}
    finish_block(claim, Result(BlockStatus.COMPLETED, output=answer))
    run_until_quiet(execution)
    _, b, ways = views(developer, execution)
    assert b["status"] == "completed"
    by_model = {
        (way["from_state"], way["to_state"]): (
            way["transition_type"],
            way["condition_evaluated"],
            way["ai_decision_used"],
            way["ai_decision_reasoning"],
            way["ai_confidence_score"],
        )
        for way in ways
    }
    quoted = '"the customer sounds angry"'
    assert by_model["ask", "escalate"] == ("conditional", quoted, True, "three exclamation marks", 87)
    assert by_model["escalate", "end"] == ("normal", None, False, None, None)

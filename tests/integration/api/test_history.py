"""What is written down about a run, over HTTP: its log, its events as they come, its history in document B's shape."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from executions_app.models import BlockExecution, Execution, ExecutionLog
from tests.caller import Caller, problem_of
from tests.driver import run_until_quiet, wake_all
from tests.factories import branch, make_template, noop, start
from tests.failing_work import new_key, unsteady_block, work
from tests.house import House, make_house
from workflow_service.accounts.models import Role
from workflow_service.engine.documents import dump_definition
from workflow_service.engine.dsl import parse_dsl

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def house(transactional_db: None) -> House:
    return make_house()


def finished(house: House, *blocks: dict[str, Any], **definition: Any) -> Execution:
    return run_until_quiet(start(make_template(list(blocks), workspace=house.workspace, **definition)))


def transitions(caller: Caller, execution: Execution) -> list[dict[str, Any]]:
    answer = caller.get(f"executions/{execution.public_id}/history")
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["transitions"]
    return found


def ways(found: list[dict[str, Any]]) -> set[tuple[str, str, str, str | None]]:
    return {
        (way["from_state"], way["to_state"], way["transition_type"], way["condition_evaluated"])
        for way in found
    }


def test_a_history_tells_every_transition_and_what_it_was_taken_by(developer: Caller, house: House) -> None:
    execution = finished(
        house,
        noop(
            "measure",
            {"size": 7},
            conditions={"branches": [branch("size > 5", "big"), branch(None, "small")]},
        ),
        noop("big"),
        noop("small"),
        noop("left", dependencies=["big"]),
        noop("right", dependencies=["big"]),
        endDependencies=["left", "right"],
    )
    found = transitions(developer, execution)
    assert ways(found) == {
        ("start", "measure", "normal", None),
        ("measure", "big", "conditional", "size > 5"),
        ("big", "left", "parallel", None),
        ("big", "right", "parallel", None),
        ("left", "end", "normal", None),
        ("right", "end", "normal", None),
    }
    assert [way["id"] for way in found] == [1, 2, 3, 4, 5, 6]
    assert [way["timestamp"] for way in found] == sorted(way["timestamp"] for way in found)
    assert found[1].keys() == {
        "id", "from_state", "to_state", "transition_type", "condition_evaluated", "condition_result",
        "ai_decision_used", "ai_decision_reasoning", "ai_confidence_score", "timestamp", "duration_ms",
    }  # fmt: skip
    assert (found[1]["condition_result"], found[1]["ai_decision_used"]) == (True, False)
    row = BlockExecution.objects.get(execution=execution, block_id="measure")
    assert row.started_at
    assert row.finished_at
    assert found[1]["duration_ms"] == round((row.finished_at - row.started_at).total_seconds() * 1_000)


def test_an_error_edge_and_a_default_are_told_as_such(developer: Caller, house: House) -> None:
    broken = {"toolType": "USE_CASE", "configuration": {"useCase": "no.such"}}
    execution = finished(
        house,
        {"blockId": "charge", "onError": ["refund"], **broken},
        noop(
            "refund", {"size": 1}, conditions={"branches": [branch("size > 5", "big"), branch(None, "small")]}
        ),
        noop("big"),
        noop("small"),
    )
    assert ways(transitions(developer, execution)) == {
        ("start", "charge", "normal", None),
        ("charge", "refund", "error", None),
        ("refund", "small", "conditional", "else"),
        ("small", "end", "normal", None),
    }


@pytest.mark.parametrize(
    ("fails", "recovery"),
    [
        (1, None),
        (9, {"fallback": work(new_key(), output={"size": 7})}),
        (9, {"strategies": ["skip"]}),
        (1, {"strategies": ["reassign"], "agents": ["spare"]}),
    ],
    ids=["retry", "fallback", "skip", "another agent"],
)
def test_a_way_that_recovery_opened_is_told_as_such(
    developer: Caller, house: House, fails: int, recovery: dict[str, Any] | None
) -> None:
    fields = {
        "recovery": recovery,
        "defaultOutput": {"size": 7},
        "conditions": {"branches": [branch("size > 5", "big"), branch(None, "small")]},
    }
    block = unsteady_block("shaky", new_key(), fields=fields, fails=fails, output={"size": 7})
    execution = finished(house, block, noop("big"), noop("small"), noop("last", dependencies=["big"]))
    while BlockExecution.objects.filter(execution=execution, status="RETRYING").exists():
        wake_all(execution)
        run_until_quiet(execution)
    assert ways(transitions(developer, execution)) == {
        ("start", "shaky", "normal", None),
        ("shaky", "big", "recovery", "size > 5"),
        ("big", "last", "normal", None),
        ("last", "end", "normal", None),
    }


def test_an_error_edge_that_retries_led_to_is_none_of_recovery(developer: Caller, house: House) -> None:
    block = unsteady_block("shaky", new_key(), fields={"onError": ["mend"]}, fails=9)
    execution = finished(house, block, noop("mend"))
    while BlockExecution.objects.filter(execution=execution, status="RETRYING").exists():
        wake_all(execution)
        run_until_quiet(execution)
    assert ("shaky", "mend", "error", None) in ways(transitions(developer, execution))


def test_hidden_joins_are_ways_and_no_states(developer: Caller, house: House) -> None:
    definition = parse_dsl("start->a;start->b;[a,b]->c:x==1;[a,b]->d:else;c->end;d->end;", {})
    document: dict[str, Any] = dump_definition(definition)
    for block in document["blocks"]:
        block |= noop(block["blockId"], {"x": 1}) | block
    blocks = document.pop("blocks")
    template = make_template(blocks, workspace=house.workspace, **document)
    found = ways(transitions(developer, run_until_quiet(start(template))))
    assert found == {
        ("start", "a", "parallel", None),
        ("start", "b", "parallel", None),
        ("a", "c", "conditional", "x==1"),
        ("b", "c", "conditional", "x==1"),
        ("c", "end", "normal", None),
    }


def test_a_loop_goes_back_once_for_each_round_and_out_once(developer: Caller, house: House) -> None:
    execution = finished(
        house,
        noop("begin", {"n": 0}),
        noop("work", {"n": "${n + 1}"}, dependencies=["begin"]),
        noop(
            "ask",
            dependencies=["work"],
            conditions={"branches": [branch("n < 3", "work"), branch(None, "report")]},
        ),
        noop("report"),
        endDependencies=["report"],
    )
    assert [(way["from_state"], way["to_state"]) for way in transitions(developer, execution)] == [
        ("start", "begin"),
        ("begin", "work"),
        *[("work", "ask"), ("ask", "work")] * 2,
        ("work", "ask"),
        ("ask", "report"),
        ("report", "end"),
    ]


def test_a_map_is_one_state(developer: Caller, house: House) -> None:
    execution = finished(
        house, noop("each", "${item}", forEach="[1, 2, 3]"), noop("b", dependencies=["each"])
    )
    assert ways(transitions(developer, execution)) == {
        ("start", "each", "normal", None),
        ("each", "b", "normal", None),
        ("b", "end", "normal", None),
    }


def test_the_audit_log_of_a_history_is_the_events(developer: Caller, house: House) -> None:
    broken = {"toolType": "USE_CASE", "configuration": {"useCase": "no.such"}}
    execution = finished(house, noop("a"), {"blockId": "b", "dependencies": ["a"], **broken})
    path = f"executions/{execution.public_id}/history"
    body = developer.get(path).json()
    assert body["execution_id"] == execution.public_id
    assert [entry["id"] for entry in body["audit_logs"]] == list(range(1, execution.event_seq + 1))
    failed = next(entry for entry in body["audit_logs"] if entry["event_type"] == "error_occurred")
    assert (failed["state"], failed["level"]) == ("b", "error")
    assert failed["message"].startswith("Block failed b: there is no use case 'no.such'")
    assert failed["metadata"]["error"]["type"] == "CONFIGURATION_ERROR"
    named = {key for entry in body["audit_logs"] for key in entry["metadata"]}
    assert not [key for key in named if key != key.lower()]
    page = developer.get(path, {"limit": 1, "offset": 1}).json()
    assert (page["transitions"], page["audit_logs"]) == (body["transitions"][1:2], body["audit_logs"][1:2])
    assert (page["total_transitions"], page["total_audit_logs"]) == (2, execution.event_seq)
    for query in ({"limit": 0}, {"offset": -1}, {"view": "b"}):
        problem_of(developer.get(path, query), 400, "INVALID_QUERY")
    problem_of(make_house().caller(Role.ADMIN).get(path), 404, "EXECUTION_NOT_FOUND")


def test_a_history_takes_the_same_number_of_queries_whatever_its_size(
    developer: Caller, house: House
) -> None:
    def queries(blocks: int) -> int:
        chain = [noop(f"b{n}", dependencies=[f"b{n - 1}"] if n else []) for n in range(blocks)]
        execution = finished(house, *chain)
        with CaptureQueriesContext(connection) as captured:
            assert len(transitions(developer, execution)) == blocks + 1
        return len(captured)

    assert queries(2) == queries(12)


def test_events_are_filtered_by_type_and_go_on_where_they_end(developer: Caller, house: House) -> None:
    execution = finished(house, noop("a"), noop("b", dependencies=["a"]))
    path = f"executions/{execution.public_id}/events"
    query: dict[str, Any] = {"types": "block_started, block_completed", "limit": 3}
    first = developer.get(path, query).json()
    assert [event["seq"] for event in first["events"]] == [2, 3, 4]
    assert (first["next"], first["lastSeq"]) == (4, 6)
    second = developer.get(path, query | {"after": first["next"]}).json()
    assert [event["type"] for event in second["events"]] == ["block_completed"]
    assert second["next"] == 6
    third = developer.get(path, query | {"after": 6}).json()
    assert (third["events"], third["next"]) == ([], 6)
    row = BlockExecution.objects.get(execution=execution, block_id="a")
    assert first["events"][0]["blockExecutionId"] == row.public_id


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ({"types": "Block"}, "/types"),
        ({"types": "a,,b"}, "/types"),
        ({"types": ",".join(["a"] * 21)}, "/types"),
        ({"types": "a'; drop"}, "/types"),
        ({"after": "-1"}, "/after"),
        ({"after": str(2**63)}, "/after"),
        ({"limit": "1001"}, "/limit"),
        ({"wait": "31"}, "/wait"),
        ({"wait": "nan"}, "/wait"),
        ({"since": "1"}, "/since"),
    ],
)
def test_bad_queries_of_events_are_named(
    developer: Caller, house: House, query: dict[str, str], place: str
) -> None:
    execution = start(make_template([noop("a")], workspace=house.workspace))
    problem = problem_of(
        developer.get(f"executions/{execution.public_id}/events", query), 400, "INVALID_QUERY"
    )
    assert [error["pointer"] for error in problem["errors"]] == [place]


def test_waiting_for_events_ends_with_the_first(developer: Caller, house: House) -> None:
    execution = start(make_template([noop("a")], workspace=house.workspace))
    path = f"executions/{execution.public_id}/events"

    def work() -> None:
        threading.Event().wait(0.2)
        run_until_quiet(execution)
        connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        body = developer.get(path, {"after": 1, "types": "execution_completed", "wait": 20}).json()
    finally:
        worker.join()
    assert [event["type"] for event in body["events"]] == ["execution_completed"]
    # An ended run has nothing more to tell: the answer does not wait.
    began = time.monotonic()
    assert developer.get(path, {"after": body["next"], "wait": 20}).json()["events"] == []
    assert time.monotonic() - began < 10


def test_waiting_for_events_in_vain_ends_in_time(developer: Caller, house: House) -> None:
    execution = start(make_template([noop("a")], workspace=house.workspace))
    body = developer.get(f"executions/{execution.public_id}/events", {"after": 1, "wait": 0.2}).json()
    assert body == {"events": [], "lastSeq": 1, "next": 1}


def write_hourly(execution: Execution) -> None:
    for hour in range(4):
        ExecutionLog.objects.create(
            execution_id=execution.pk,
            level=20,
            message=f"hour {hour}",
            created_at=NOON + timedelta(hours=hour),
        )


@pytest.mark.parametrize(
    ("query", "hours"),
    [
        ({"order": "desc"}, [3, 2, 1, 0]),
        ({"order": "desc", "limit": 1, "offset": 1}, [2]),
        ({"from": "2026-11-22T13:00:00Z"}, [1, 2, 3]),
        ({"to": "2026-11-22T13:00:00Z"}, [0]),
        ({"from": "2026-11-22T14:00:00+01:00", "to": "2026-11-22T14:00:00.000001Z"}, [1, 2]),
        ({"search": "HOUR_"}, []),
        ({"search": "%"}, []),
    ],
)
def test_logs_are_ordered_and_cut_by_time(
    developer: Caller, house: House, query: dict[str, Any], hours: list[int]
) -> None:
    execution = start(make_template([noop("a")], workspace=house.workspace))
    write_hourly(execution)
    body = developer.get(f"executions/{execution.public_id}/logs", query).json()
    assert [line["message"] for line in body["logs"]] == [f"hour {hour}" for hour in hours]


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ({"order": "up"}, "/order"),
        ({"from": "yesterday"}, "/from"),
        ({"from": "2026-11-22T13:00:00Z", "to": "2026-11-22T12:00:00Z"}, "/to"),
        ({"since": "2026-11-22T13:00:00Z"}, "/since"),
        ({"search": "a\x00b"}, "/search"),
        ({"limit": "501"}, "/limit"),
    ],
)
def test_bad_queries_of_logs_are_named(
    developer: Caller, house: House, query: dict[str, str], place: str
) -> None:
    execution = start(make_template([noop("a")], workspace=house.workspace))
    problem = problem_of(developer.get(f"executions/{execution.public_id}/logs", query), 400, "INVALID_QUERY")
    assert [error["pointer"] for error in problem["errors"]] == [place]


def test_the_progress_of_a_block_is_shown(developer: Caller, house: House) -> None:
    execution = start(make_template([noop("a")], workspace=house.workspace))
    said = {"percent": 40.0, "message": "reading", "at": "2026-11-22T12:00:00Z"}
    path = f"executions/{execution.public_id}"
    assert developer.get(path).json()["blockExecutions"][0]["progress"] is None
    BlockExecution.objects.filter(execution=execution).update(progress=said)
    shown = developer.get(path).json()["blockExecutions"][0]["progress"]
    assert (shown["percent"], shown["message"]) == (40.0, "reading")

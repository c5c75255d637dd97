"""What a settlement writes is the same, whether its rows are bound one by one or as one document."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from executions_app import step_statement as statements
from executions_app.claiming import claim_block
from executions_app.models import BlockExecution, ContextValue, Execution, ExecutionEvent, ExecutionLog
from executions_app.run_state import lock_run
from executions_app.step_statement import Part, Row, step_statement
from executions_app.transaction import pipelined_transaction
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import error_of, make_template, noop, start, statuses
from workflow_service.settings.config import get_config

pytestmark = pytest.mark.usefixtures("db")

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
HOSTILE = ["", "NULL", "'; --", '"quoted"', "{}", "\\", "ü€\U0001f600", "a\nb", "$1", "%s"]


def node_row(number: int, **columns: Any) -> dict[str, Any]:
    return {
        "scope_id": 0, "item_index": 0, "queue": "default", "node": 10 + number, "kind": "block",
        "block_id": HOSTILE[number % len(HOSTILE)] or "empty", "status": "COMPLETED", "fence": 1, "settled": True,
        "holds_slot": False, "agent_id": "", "origins": [number, 7] if number % 2 else [], "outcomes": {"3": "taken"},
        "worker_id": UUID(int=number), "input": {"text": HOSTILE[number % len(HOSTILE)]}, "error": None,
        "queued_at": AT, "started_at": AT, "finished_at": None, "due_at": AT, "next_send_at": None, "hard_end_s": 1.5,
        **columns,
    }  # fmt: skip


def parts_of(count: int) -> list[tuple[Part, list[Row]]]:
    values: list[Any] = [None, True, 0, 1.5, "text", [1, None], {"deep": {"null": None}}, ""]
    return [
        (statements.NODES, [node_row(n) for n in range(count)]),
        (
            statements.CONTEXT,
            [
                {"key": f"key{n}", "seq": n + 1, "value": values[n % len(values)], "block_execution_id": n}
                for n in range(count)
            ],
        ),
        (
            statements.EVENTS_OF_NODES,
            [
                {
                    "seq": 100 + n,
                    "type": "block_started",
                    "block_id": HOSTILE[n % len(HOSTILE)],
                    "block_execution_id": None,
                    "scope_id": 0,
                    "node": 10 + n,
                    "item_index": 0,
                    "data": {"text": HOSTILE[n % len(HOSTILE)]},
                    "created_at": AT,
                }
                for n in range(count)
            ],
        ),
        (
            statements.LOGS,
            [
                {
                    "block_execution_id": n,
                    "block_id": "b",
                    "agent_id": "",
                    "level": 20,
                    "created_at": AT,
                    "message": HOSTILE[n % len(HOSTILE)],
                    "context": {},
                    "stack_trace": HOSTILE[n % len(HOSTILE)],
                }
                for n in range(count)
            ],
        ),
    ]


def write(execution: Execution, parts: list[tuple[Part, list[Row]]]) -> list[Any]:
    """Write parts to a run as a settlement does, and return what the statement answered."""
    with pipelined_transaction() as tx:
        run = lock_run(tx, execution.pk)
        assert run is not None
        written = tx.run_numbered(
            *step_statement(parts, execution=run.id, generation=run.generation, now=AT, saved=run.saved())
        )
        tx.commit()
    return written.fetchall()


def rows_of(execution: Execution) -> dict[str, list[Any]]:
    """Return everything that was written to a run, but for what tells two runs apart."""
    nodes = BlockExecution.objects.filter(execution=execution, node__gte=10).order_by("node")
    ids = {node.pk: node.node for node in nodes}
    events = ExecutionEvent.objects.filter(execution_id=execution.pk, seq__gte=100).order_by("seq")
    logs = ExecutionLog.objects.filter(execution_id=execution.pk, created_at=AT).order_by("id")
    hidden = ("id", "execution_id")
    return {
        "nodes": [
            {name: value for name, value in node.items() if name not in hidden} for node in nodes.values()
        ],
        "context": list(
            ContextValue.objects.filter(execution_id=execution.pk)
            .order_by("seq")
            .values("key", "seq", "value")
        ),
        "events": [
            (e.seq, e.type, e.block_id, ids[e.block_execution_id or 0], e.data, e.created_at) for e in events
        ],
        "logs": list(logs.values("block_id", "message", "context", "stack_trace", "level")),
    }


@pytest.mark.parametrize("count", [1, 2, 3, 4, 10])
def test_few_rows_are_written_as_many_are(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    template = make_template([noop("one")])
    bound, as_document = start(template), start(template)
    monkeypatch.setattr(statements, "FEW_ROWS", 10)
    answered = write(bound, parts_of(count))
    monkeypatch.setattr(statements, "FEW_ROWS", 0)
    assert len(answered) == len(write(as_document, parts_of(count))) == count
    assert {row.node for row in answered} == {10 + n for n in range(count)}
    written = rows_of(bound)
    assert len(written["nodes"]) == len(written["events"]) == count
    assert written == rows_of(as_document)


def test_a_row_that_has_begun_is_not_written_as_a_node() -> None:
    execution = start(make_template([noop("one")]))
    write(execution, [(statements.NODES, [node_row(0, status="RUNNING", settled=False)])])
    again = write(execution, [(statements.NODES, [node_row(0, status="READY", settled=False, fence=0)])])
    assert again == []
    assert BlockExecution.objects.get(execution=execution, node=10).status == "RUNNING"


def test_shapes_are_few_prepared_statements() -> None:
    """A longer run of the same blocks must not make Postgres plan new statements: numbers grow, shapes do not."""
    template = make_template(
        [noop(f"s{n}", {"n": n}, dependencies=[f"s{n - 1}"] if n else []) for n in range(12)]
    )
    run_until_quiet(start(template))
    run_until_quiet(start(template))
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements WHERE statement LIKE 'WITH fixed%'")
        prepared = [statement for (statement,) in cursor.fetchall()]
    assert prepared
    assert len(prepared) == len(set(prepared)), "the same text was prepared for other types of parameters"


class TestPreparedBlocks:
    def test_a_queued_block_bears_its_input(self) -> None:
        execution = start(
            make_template([noop("one", {"n": "${workflow.input.n}"}), noop("two", dependencies=["one"])]),
            {"n": 7},
        )
        row = BlockExecution.objects.get(execution=execution)
        assert (row.status, row.input, row.hard_end_s) == ("QUEUED", {"output": {"n": 7}}, 310.0)
        assert run_until_quiet(execution).status == "COMPLETED"

    def test_an_input_that_cannot_be_resolved_fails_the_block_when_it_is_claimed(self) -> None:
        execution = start(make_template([noop("one", {"n": "${workflow.input.missing}"})]))
        row = BlockExecution.objects.get(execution=execution)
        assert (row.status, row.input, row.hard_end_s) == ("QUEUED", None, None)
        assert run_until_quiet(execution).status == "FAILED"
        row.refresh_from_db()
        assert "missing" in json.dumps(row.error)

    def test_an_input_that_nothing_can_keep_fails_its_own_block(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(get_config(), "max_output_bytes", 2_000)
        many = {f"copy{n}": "${text}" for n in range(20)}
        execution = start(
            make_template([noop("large", {"text": "x" * 1_000}), noop("many", many, dependencies=["large"])])
        )
        execution = run_until_quiet(execution)
        assert statuses(execution) == {"large": "COMPLETED", "many": "FAILED"}
        assert "larger than 16000 characters" in error_of(execution)["message"]

    def test_both_claims_tell_the_same(self) -> None:
        template = make_template([noop("one", {"n": 1})])
        prepared, unprepared = start(template), start(template)
        BlockExecution.objects.filter(execution=unprepared).update(hard_end_s=None, input=None)
        for execution in (prepared, unprepared):
            assert run_until_quiet(execution).status == "COMPLETED"
        told = [
            [
                (event.seq, event.type, event.block_id, set(event.data))
                for event in ExecutionEvent.objects.filter(execution_id=execution.pk).order_by("seq")
            ]
            for execution in (prepared, unprepared)
        ]
        assert told[0] == told[1]
        first, second = (BlockExecution.objects.get(execution=each) for each in (prepared, unprepared))
        assert (first.input, first.agent_id, first.fence) == (second.input, second.agent_id, second.fence)
        allowed = {row.due_at - row.started_at for row in (first, second) if row.due_at and row.started_at}
        assert allowed == {timedelta(seconds=310)}

    def test_the_run_is_running_once_its_first_block_is_claimed(self) -> None:
        execution = start(make_template([noop("one")]))
        assert execution.status == "STARTING"
        (row_id,) = queued_blocks(execution)
        answer = claim_block(execution.pk, row_id, UUID(int=1))
        assert answer.claim is not None
        execution.refresh_from_db()
        assert execution.status == "RUNNING"
        assert claim_block(execution.pk, row_id, UUID(int=2)).claim is None, "a block is claimed once"

"""What a step costs in statements and commits, counted: neither may grow unnoticed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from executions_app import running
from executions_app.models import Execution
from executions_app.transaction import EngineTransaction
from templates_app.models import Template
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import make_template, make_workspace, noop, start

pytestmark = pytest.mark.usefixtures("db")

CLAIM_STATEMENTS = 1
STEP_STATEMENTS = 4
END_STATEMENTS = 1


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect the statements of the engine's transactions, and of whatever goes past them."""
    statements: list[str] = []

    def counting(run: Any) -> Any:
        def counting_run(self: EngineTransaction, statement: Any, parameters: Any = ()) -> Any:
            statements.append(" ".join(statement.split()))
            return run(self, statement, parameters)

        return counting_run

    with monkeypatch.context() as patched, CaptureQueriesContext(connection) as queries:
        for name in ("run", "run_numbered"):
            patched.setattr(EngineTransaction, name, counting(getattr(EngineTransaction, name)))
        yield statements
    statements += [query["sql"] for query in queries]


def chain(length: int) -> Template:
    """Return a template of blocks in a row, each writing the context and reading what the one before wrote."""
    first = noop("step0", {"n": 0})
    others = (
        noop(f"step{n}", {"n": n, "before": "${n}"}, dependencies=[f"step{n - 1}"]) for n in range(1, length)
    )
    return make_template([first, *others])


def started_warm(template: Template) -> tuple[Execution, int]:
    """Start a run of a template that this process has run before; return it and its first block."""
    run_until_quiet(start(template))
    execution = start(template)
    (first,) = queued_blocks(execution)
    return execution, first


def test_a_sequential_step_costs_one_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    execution, first = started_warm(chain(20))
    with counted(monkeypatch) as statements:
        assert running.run_blocks(execution.pk, first, "default") == 20
    assert statements.count("COMMIT") == 20, "one for each step; the claim of the first commits by itself"
    # The last step starts none and ends the run: it writes no context of a successor but a log line, and keeps what is
    # to be told of the end.
    assert len(statements) <= CLAIM_STATEMENTS + 20 * STEP_STATEMENTS + END_STATEMENTS


def test_a_fan_out_is_queued_in_as_many_statements_as_two_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "TIME_SLICE_S", 0.0)
    workspace = make_workspace()
    run_until_quiet(start(make_template([noop("warms", {})], workspace=workspace)))
    spent = []
    for width in (2, 200):
        parts = [noop(f"part{n}", dependencies=["split"]) for n in range(width)]
        settings = {"maxParallelBlocks": width}
        execution = start(
            make_template([noop("split"), *parts], workspace=workspace, globalSettings=settings)
        )
        (split,) = queued_blocks(execution)
        with counted(monkeypatch) as statements:
            running.run_blocks(execution.pk, split, "default")
        assert len(queued_blocks(execution)) == width
        spent.append([statement[:60] for statement in statements])
    assert spent[0] == spent[1]


def test_a_wide_run_goes_on_in_place_without_a_message_for_each_block() -> None:
    parts = [noop(f"part{n}", {"n": n}) for n in range(20)]
    join = noop("join", dependencies=[part["blockId"] for part in parts])
    execution = start(make_template([*parts, join], globalSettings={"maxParallelBlocks": 1}))
    (first,) = queued_blocks(execution)
    assert running.run_blocks(execution.pk, first, "default") == 21
    execution.refresh_from_db()
    assert execution.status == "COMPLETED"
    assert_consistent(execution)

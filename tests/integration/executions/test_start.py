"""Starts are exactly once: threads that race with one Idempotency-Key get one execution."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import pytest
from django.db import connection

from executions_app.models import Execution, ExecutionEvent, StartRequest
from executions_app.services.executions import StartedExecution, start_execution
from templates_app.models import Template
from tests.consistency import assert_consistent
from tests.factories import make_template, noop
from workflow_service.accounts.idempotency import IdempotencyConflict

pytestmark = pytest.mark.usefixtures("db")

RACERS = 8


def start_once(template: Template, key: str, body: str = "same") -> StartedExecution:
    return start_execution(
        workspace=template.workspace,
        actor=template.owner,
        template=template,
        input={},
        idempotency_key=key,
        body_sha256=body,
    )


def race(start: Callable[[int], StartedExecution]) -> list[StartedExecution | IdempotencyConflict]:
    """Call ``start`` with 0, 1, … in as many threads at once; return what each gave or how it was refused."""
    barrier = Barrier(RACERS)

    def run(number: int) -> StartedExecution | IdempotencyConflict:
        try:
            barrier.wait(timeout=30)
            return start(number)
        except IdempotencyConflict as conflict:
            return conflict
        finally:
            connection.close()

    with ThreadPoolExecutor(RACERS) as threads:
        return list(threads.map(run, range(RACERS)))


def test_one_key_starts_one_execution() -> None:
    template, key = make_template([noop("one"), noop("two")]), uuid4().hex
    answers = race(lambda _: start_once(template, key))
    started = [answer for answer in answers if isinstance(answer, StartedExecution)]
    assert len(started) == RACERS
    assert {answer.execution.pk for answer in started} == {Execution.objects.get(template=template).pk}
    assert sum(answer.created for answer in started) == 1
    execution = assert_consistent(started[0].execution)
    assert ExecutionEvent.objects.filter(execution_id=execution.pk).count() == 1
    assert StartRequest.objects.filter(key=key).count() == 1


def test_of_two_bodies_with_one_key_the_second_is_refused() -> None:
    template, key = make_template([noop("one")]), uuid4().hex
    answers = race(lambda number: start_once(template, key, f"body {number % 2}"))
    standing = StartRequest.objects.get(key=key)
    refused = [number for number, answer in enumerate(answers) if isinstance(answer, IdempotencyConflict)]
    assert {number % 2 for number in refused} == {1 - int(standing.body_sha256[-1])}
    assert len(refused) == RACERS // 2
    assert Execution.objects.filter(template=template).count() == 1


def test_a_key_is_one_workspaces_own() -> None:
    key = uuid4().hex
    one, other = make_template([noop("one")]), make_template([noop("one")])
    assert start_once(one, key).execution != start_once(other, key).execution

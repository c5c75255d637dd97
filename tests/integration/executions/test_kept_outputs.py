"""Outputs that serve again: what is declared so is worked once for the same input, in one workspace, for its time."""

from itertools import count
from typing import Any

import pytest
from pydantic import JsonValue

from executions_app.models import BlockOutput, Execution, ExecutionLog
from executions_app.services.control import Asked
from executions_app.services.restart import Restart, restart_execution
from tests.driver import run_until_quiet
from tests.factories import make_template, start
from workflow_service.agents.use_cases import use_case
from workflow_service.ai import answer_cache
from workflow_service.engine.states import ToolType

pytestmark = pytest.mark.usefixtures("db")
_calls = count(1)


@use_case("tests.kept_number")
def kept_number(params: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Answer with the number of the call: the work was done where it grows."""
    return {"city": params["city"], "call": next(_calls)}


def block(**fields: Any) -> dict[str, Any]:
    work = {"useCase": "tests.kept_number", "city": "${workflow.input.city}"}
    return {"blockId": "ask", "toolType": ToolType.USE_CASE, "configuration": work, **fields}


def answer(execution: Execution) -> Any:
    return BlockOutput.objects.filter(execution_id=execution.pk).latest("pk").value


def test_the_same_work_is_done_once_and_the_log_says_so() -> None:
    template = make_template([block(cache={"ttl": 60_000})])
    first, again = (run_until_quiet(start(template, {"city": "Oslo"})) for _ in range(2))
    other = run_until_quiet(start(template, {"city": "Rome"}))
    assert answer(first) == answer(again)
    assert answer(other)["call"] != answer(first)["call"]
    said = "The output of the same work, done before, serves again"
    told = ExecutionLog.objects.filter(message=said).values_list("execution_id", flat=True)
    assert list(told) == [again.pk]


def test_what_is_not_declared_so_is_done_each_time() -> None:
    template = make_template([block()])
    first, again = (run_until_quiet(start(template, {"city": "Oslo"})) for _ in range(2))
    assert answer(first)["call"] != answer(again)["call"]


def test_another_workspace_is_told_nothing() -> None:
    first, other = (
        run_until_quiet(start(make_template([block(cache={"ttl": 60_000})]), {"city": "Bonn"}))
        for _ in range(2)
    )
    assert answer(first)["call"] != answer(other)["call"]


def test_a_restart_does_the_work_anew() -> None:
    template = make_template([block(cache={"ttl": 60_000})])
    execution = run_until_quiet(start(template, {"city": "Kiel"}))
    before = answer(execution)
    restart_execution(execution.pk, Asked.by(template.owner), Restart(from_block="ask"))
    assert answer(run_until_quiet(execution)) != before


def test_without_redis_the_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    template = make_template([block(cache={"ttl": 60_000})])
    first = run_until_quiet(start(template, {"city": "Graz"}))
    again = start(template, {"city": "Graz"})
    unreachable = answer_cache._redis("redis://127.0.0.1:1/0")
    monkeypatch.setattr(answer_cache, "_redis", lambda url: unreachable)
    assert answer(run_until_quiet(again))["call"] != answer(first)["call"]

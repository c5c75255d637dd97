"""Templates with recorded runs for tests of the advisor, run for real, and the use case that their blocks do."""

import time
from collections.abc import Callable
from typing import Any

from pydantic import JsonValue

from executions_app.models import Execution
from templates_app.models import Template
from tests.driver import run_until_quiet
from tests.factories import make_template, noop, start
from workflow_service.agents.errors import ToolError
from workflow_service.agents.use_cases import use_case
from workflow_service.engine.states import ErrorType


@use_case("tests.advised_work")
def advised_work(params: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Take as long as one is told, and fail in passing where one is told to."""
    time.sleep(float(str(params.get("seconds", 0))))
    if params.get("fails"):
        raise ToolError(ErrorType.NETWORK_ERROR, "the line is dead")
    return {"done": True}


def work(block_id: str, *after: str, given: Any = None, **fields: Any) -> dict[str, Any]:
    """Return a block that does ``advised_work`` after others."""
    return {
        "blockId": block_id,
        "toolType": "USE_CASE",
        "configuration": {"useCase": "tests.advised_work", "input": given or {}},
        "dependencies": list(after),
        **fields,
    }


def run(
    template: Template, times: int, given: Callable[[int], dict[str, Any]] = lambda number: {}
) -> list[Execution]:
    """Run a template so many times; ``given`` makes the input of each run."""
    return [run_until_quiet(start(template, given(number))) for number in range(times)]


def unretried(times: int = 24, name: str = "b") -> Template:
    """Return a template that failed in every fourth of its runs, because nothing is tried again."""
    given = {"fails": "${workflow.input.fails}", "x": "${x}"}
    blocks = [
        noop("a", {"x": 1}),
        work(name, "a", given=given, retryPolicy={"maxRetries": 0}),
        noop("c", {"y": "${done}"}, dependencies=[name]),
    ]
    template = make_template(blocks)
    run(template, times, lambda number: {"fails": number % 4 == 0})
    return template

"""Templates with recorded runs for tests of the advisor, run for real, and the use case that their blocks do."""

import time
from collections.abc import Callable
from typing import Any

from pydantic import JsonValue

from executions_app.models import Execution
from templates_app.models import Template
from templates_app.selectors import current_version
from tests.driver import run_until_quiet
from tests.factories import make_template, noop, start
from workflow_service.advisor.editing import with_fields
from workflow_service.advisor.models import OptimizationRecord
from workflow_service.advisor.vocabulary import Effort, Kind, Measure, Source, Type
from workflow_service.agents.errors import ToolError
from workflow_service.agents.use_cases import use_case
from workflow_service.engine.documents import dump_definition, load_definition
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


def make_suggestion(template: Template, **fields: Any) -> OptimizationRecord:
    """Keep an open suggestion about a template's current version, as an analysis would: more retries for a block."""
    version = current_version(template)
    definition = load_definition(version.definition)
    name = definition.blocks[0].block_id
    changed = with_fields(definition, name, retryPolicy={"maxRetries": 5})
    known: dict[str, Any] = {
        "kind": Kind.RETRY,
        "subject": name,
        "blocks": [name],
        "type": Type.RELIABILITY,
        "measure": Measure.FAILURES,
        "source": Source.RULES,
        "title": f"Try '{name}' again when it fails in passing",
        "description": f"'{name}' failed in 6 of 24 (25%) runs with NETWORK_ERROR, which passes.",
        "estimated_improvement": 97,
        "implementation_effort": Effort.LOW,
        "priority": 1,
        "proposed_changes": {"retryPolicy": {"block": name, "maxRetries": 5}},
        "evidence": {
            "failed": 6,
            "errorTypes": ["NETWORK_ERROR"],
            "replay": {"measure": "failures", "before": 0.25, "after": 0.0075},
        },
        "definition": dump_definition(changed),
    }
    return OptimizationRecord.objects.create(
        workspace=template.workspace, template=template, base_version=version, **known | fields
    )

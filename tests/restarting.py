"""Blocks that note that they ran and fail when told to, and restarts of their runs."""

from typing import Any

from pydantic import JsonValue

from executions_app.claiming import claim_block
from executions_app.models import BlockExecution, Execution
from executions_app.progress import Claim
from executions_app.replay import differences, read_facts, rebuild
from executions_app.services.control import Asked
from executions_app.services.restart import Restart, Restarted, restart_execution
from executions_app.worker_identity import worker_id
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import make_template, start
from workflow_service.agents.errors import ToolError
from workflow_service.agents.use_cases import use_case
from workflow_service.engine.states import ErrorType

ADA = Asked("ada")
# What the blocks did by name, and which of them are to fail; a test clears both.
ran: list[str] = []
failing: set[str] = set()


@use_case("tests.restart_work")
def restart_work(params: dict[str, JsonValue]) -> dict[str, JsonValue]:
    name = str(params["name"])
    ran.append(name)
    if name in failing:
        raise ToolError(ErrorType.AUTHORIZATION_ERROR, f"{name} is to fail")
    given = params.get("gives")
    return {f"{name}_runs": ran.count(name)} | (given if isinstance(given, dict) else {})


def work(
    block_id: str, *after: str, gives: Any = None, reads: Any = None, name: str = "", **fields: Any
) -> dict[str, Any]:
    """Return a block that notes its ``name`` and gives how often it did, and ``gives`` besides."""
    return {
        "blockId": block_id,
        "toolType": "USE_CASE",
        "configuration": {
            "useCase": "tests.restart_work",
            "input": {"name": name or block_id, "gives": gives or {}, **(reads or {})},
        },
        "dependencies": list(after),
        "retryPolicy": {"maxRetries": 0},
        **fields,
    }


def run_of(*blocks: dict[str, Any], **definition: Any) -> Execution:
    """Run a workflow of these blocks until nothing more is to do."""
    return run_until_quiet(start(make_template(list(blocks), **definition)))


def restart(execution: Execution, **options: Any) -> Restarted:
    """Restart a run, and check its rows before anything of it goes on."""
    restarted = restart_execution(execution.pk, ADA, Restart(**options))
    assert_consistent(execution)
    assert_told(execution)
    return restarted


def statuses(execution: Execution) -> dict[str, str]:
    """Return the status of every current block row, by block id."""
    rows = BlockExecution.objects.filter(execution=execution, superseded=False)
    return dict(rows.values_list("block_id", "status"))


def finished(execution: Execution, status: str = "COMPLETED") -> Execution:
    """Let a run go on to its end, and check it there."""
    execution = run_until_quiet(execution)
    assert_consistent(execution)
    assert_told(execution)
    assert execution.status == status, execution.error
    return execution


def assert_told(execution: Execution) -> None:
    """Check that a run as its events tell it is as its rows are."""
    execution = Execution.objects.get(pk=execution.pk)
    rows = BlockExecution.objects.filter(execution=execution)
    assert list(differences(rebuild(read_facts(execution)), execution, rows)) == []


def claim_one(execution: Execution) -> Claim:
    """Claim the oldest queued block of a run."""
    claim = claim_block(execution.pk, queued_blocks(execution)[0], worker_id()).claim
    assert claim is not None
    return claim

"""Runs whose way on is a question: after ``triage`` the customer is calmed, refunded or answered."""

from typing import Any

from executions_app import running
from executions_app.models import BlockExecution, Execution
from tests.driver import run_until_quiet
from tests.factories import make_template, noop, start
from tests.restarting import claim_one
from workflow_service.accounts.models import Workspace
from workflow_service.decisions.models import Decision

ANGRY = "the customer is angry"
REFUND = "the customer wants the money back"
MESSAGE: dict[str, Any] = {"message": "Where is my money?", "mood": "bad"}


def chosen(choice: str, confidence: float = 90) -> dict[str, Any]:
    """Return the model's answer to a question with several options."""
    return {"choice": choice, "reasoning": "the message says so", "confidence": confidence}


def triage(
    decision: dict[str, Any] | None = None,
    *,
    output: Any = None,
    default: str | None = "answer",
    mode: str = "exclusive",
    rules: bool = False,
) -> list[dict[str, Any]]:
    """Return the blocks: ``calm`` and ``refund`` are led to by questions, ``answer`` by default.

    With ``rules`` the questions have expressions that read ``mood``.
    """
    first: dict[str, Any] = {"question": ANGRY, "nextBlocks": ["calm"]}
    second: dict[str, Any] = {"question": REFUND, "nextBlocks": ["refund"]}
    if rules:
        first["expression"], second["expression"] = "mood == 'bad'", "mood == 'greedy'"
    branches = [first, second] + ([{"nextBlocks": [default]}] if default else [])
    asks = noop("triage", output or MESSAGE, conditions={"type": mode, "branches": branches})
    if decision is not None:
        asks["decision"] = decision
    return [asks, noop("calm"), noop("refund"), noop("answer", dependencies=[] if default else ["calm"])]


def run_triage(
    decision: dict[str, Any] | None = None,
    *,
    workspace: Workspace | None = None,
    options: dict[str, Any] | None = None,
    given: dict[str, Any] | None = None,
    **how: Any,
) -> Execution:
    """Start such a run and let it go on as far as it goes."""
    template = make_template(triage(decision, **how), workspace=workspace)
    return run_until_quiet(start(template, given, **(options or {})))


def gone_on(execution: Execution) -> set[str]:
    """Return which of the ways a run has gone."""
    done = BlockExecution.objects.filter(
        execution=execution, status="COMPLETED", block_id__in=("calm", "refund", "answer")
    )
    return set(done.values_list("block_id", flat=True))


def decision_of(execution: Execution) -> Decision:
    """Return the one decision of a run."""
    return Decision.objects.get(execution=execution)


def decide_only(execution: Execution) -> Execution:
    """Run ``triage`` and its question, and leave the branch that was taken queued."""
    for _ in range(2):
        claim = claim_one(execution)
        running.write_outcome(claim, running.work_on(claim), None)
    execution.refresh_from_db()
    return execution

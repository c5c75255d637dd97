"""A decision is kept in the transaction that settles its row: once, and only if the run has gone that way."""

from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from executions_app.settlement import Settler
from workflow_service.decisions.models import new_decision_id
from workflow_service.engine.definition import JsonObject

# The run's row is locked, and a row is settled once; what a restart took back keeps its decision.
INSERT = """
    INSERT INTO decisions_decision (
        public_id, workspace_id, execution_id, block_execution_id, block_id, question, options, chosen, source,
        reasoning, confidence, model, prompt, cost_usd, tokens, cached, case_sha256, shown, decided_by, created_at,
        override_reason, rerouted)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s::text[], %s, %s, %s, %s, %s, %s::numeric, %s, %s, %s, %s, %s, %s, '', false)
    ON CONFLICT (block_execution_id) DO NOTHING
"""


def record_decision(settler: Settler, row: Any, output: JsonObject) -> None:
    """Keep what a DECIDE row that is being settled has decided; ``output`` is that of ``verdicts`` or of a person."""
    if "case" not in output:
        return
    run = settler.run
    settler.tx.run(
        INSERT,
        (
            new_decision_id(), run.workspace_id, run.id, row.id, row.block_id.removesuffix("?"),
            _text(output.get("question")), Jsonb(output.get("options") or []), _texts(output.get("decision")),
            _text(output.get("source")), _text(output.get("reasoning")), output.get("confidence"),
            _text(output.get("model")), _text(output.get("prompt")), _text(output.get("costUsd")) or "0",
            output.get("tokens") or 0, output.get("cached") is True, _text(output.get("case")),
            Jsonb(output.get("shown") or {}), _text(output.get("decidedBy")), row.finished_at or datetime.now(UTC),
        ),
    )  # fmt: skip


def _text(value: JsonValue) -> str:
    return "" if value is None else str(value)


def _texts(value: JsonValue) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []

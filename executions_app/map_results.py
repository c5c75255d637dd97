"""Collecting a map: the results of its items, in order, as one output."""

import json
from collections.abc import Sequence
from typing import Any

from django.db import connection
from pydantic import JsonValue

from executions_app.finishing import Result
from executions_app.maps import tolerated_failures
from workflow_service.engine.definition import Block, JsonObject
from workflow_service.engine.states import BlockStatus, ErrorType
from workflow_service.settings.config import get_config

ENDED_MAP = """
    SELECT id, total FROM executions_app_scope
    WHERE block_execution_id = %s AND kind = 'map' AND ended AND NOT superseded
"""
ITEM_RESULTS = """
    SELECT b.item_index, b.status, b.error::text, o.value::text
    FROM executions_app_blockexecution b
    LEFT JOIN executions_app_blockoutput o ON o.block_execution_id = b.id AND NOT o.superseded
    WHERE b.execution_id = %s AND b.scope_id = %s AND NOT b.superseded ORDER BY b.item_index
"""
# What is joined is measured where it lies: it need not fit into a worker.
OUTPUT_BYTES = """
    SELECT coalesce(sum(octet_length(o.value::text)), 0)::bigint
    FROM executions_app_blockexecution b
    JOIN executions_app_blockoutput o ON o.block_execution_id = b.id AND NOT o.superseded
    WHERE b.execution_id = %s AND b.scope_id = %s AND NOT b.superseded AND b.status = 'COMPLETED'
"""
SHOWN_ERRORS = 100


def collect_map(execution_id: int, block_execution_id: int, block: Block) -> Result | None:
    """Return what a map's items made, or None while it has not run them.

    Fails with MAP_FAILED where more items failed than the map tolerates; what the others made is in the details.
    Fails with VALIDATION_ERROR where the results together are larger than an output may be.
    """
    with connection.cursor() as cursor:
        cursor.execute(ENDED_MAP, [block_execution_id])
        scope = cursor.fetchone()
        if scope is None:
            return None
        scope_id, total = scope
        cursor.execute(OUTPUT_BYTES, [execution_id, scope_id])
        (size,) = cursor.fetchone()
        if size > get_config().max_output_bytes:
            return Result(BlockStatus.FAILED, error=_too_large(block, total, size))
        cursor.execute(ITEM_RESULTS, [execution_id, scope_id])
        output = map_output(cursor.fetchall())
    failed = output["failed"]
    tolerated = tolerated_failures(block, total)
    if isinstance(failed, int) and failed > tolerated:
        return Result(BlockStatus.FAILED, error=_too_many_failed(block, total, failed, tolerated, output))
    return Result(BlockStatus.COMPLETED, output=output)


def map_output(rows: Sequence[Any]) -> JsonObject:
    """Return a map's output from (index, status, error, output) of its items, in order; the last two are JSON texts."""
    results: list[JsonValue] = []
    errors: list[JsonValue] = []
    failed = 0
    for index, status, error, output in rows:
        results.append(json.loads(output) if status == BlockStatus.COMPLETED and output is not None else None)
        if status in (BlockStatus.FAILED, BlockStatus.REJECTED):
            failed += 1
            described = json.loads(error) if error else {}
            errors.append(
                {"index": index, "type": described.get("type"), "message": described.get("message")}
            )
    return {
        "results": results,
        "succeeded": sum(status == BlockStatus.COMPLETED for _, status, _, _ in rows),
        "failed": failed,
        "errors": errors,
    }


def _too_large(block: Block, total: int, size: int) -> dict[str, JsonValue]:
    most = get_config().max_output_bytes
    return {
        "type": ErrorType.VALIDATION_ERROR,
        "message": f"the results of the {total} items of '{block.block_id}' are {size} bytes together, an output "
        f"may have {most}; let each item give less, as where its result is kept",
        "details": {"bytes": size, "maxBytes": most},
        "retryable": False,
    }


def _too_many_failed(
    block: Block, total: int, failed: int, tolerated: int, output: JsonObject
) -> dict[str, JsonValue]:
    errors = output["errors"]
    assert isinstance(errors, list)  # noqa: S101 - map_output makes it
    first = errors[0] if errors else None
    shown = f"; item {first['index']}: {first['message']}" if isinstance(first, dict) else ""
    return {
        "type": ErrorType.MAP_FAILED,
        "message": f"{failed} of the {total} items of '{block.block_id}' failed, {tolerated} may{shown}",
        "details": {
            "total": total,
            "failed": failed,
            "tolerated": tolerated,
            "errors": errors[:SHOWN_ERRORS],
        },
        "retryable": False,
    }

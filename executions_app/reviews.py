"""Reviews: what a block made waits until people have looked at it (document A section 3.4).

However an output comes - from a worker, a callback, a timer or signal, a sub-workflow - it is kept in the block's row
(``output_extra``) by the transaction that lets the row wait and writes the question. Before that commit the work is as
good as not done, and is recovered like any other; after it only an answer ends the wait, and nothing is done again.
"""

import json
from hashlib import sha256
from typing import Any

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from executions_app import log_lines
from executions_app.block_rules import output_is_reviewed
from executions_app.handlers import BlockWork, Reviewed, review_gate
from executions_app.journal import place_data
from executions_app.models import BlockExecution
from executions_app.recovering import read_block, recover_block
from executions_app.results import REVIEW, complete_review, complete_wait
from executions_app.settlement import Error, Settler
from executions_app.stand_ins import work_of_row
from templates_app.plans import compiled_version
from workflow_service.accounts.models import Workspace
from workflow_service.agents.errors import ToolError
from workflow_service.engine.rounds import Place

PERSON = BlockExecution.WaitsFor.PERSON

WAIT_FOR_REVIEW = """
    UPDATE executions_app_blockexecution SET waits_for = %s, wait_key = %s, output_extra = %s, due_at = NULL
    WHERE id = %s AND status = 'WAITING'
    RETURNING id, kind, block_id, scope_id, item_index, agent_id
"""


def give_output(settler: Settler, waiting: Any, output: JsonValue) -> None:
    """Complete a waiting row of a locked run with its output, or let it wait on for people who look at that first.

    ``waiting`` has ``id``, ``fence``, ``node`` and ``kind``. The caller concludes the run.
    """
    run, tx = settler.run, settler.tx
    compiled = compiled_version(run.version_id)
    if not output_is_reviewed(compiled, waiting):
        complete_wait(tx, waiting, output)
        return
    row = read_block(tx, run.id, waiting.id)
    try:
        answer = review_gate()(_work(settler, row), output, settler.values)
    except ToolError as error:
        described: Error = {"type": error.error_type, "message": error.message, "details": error.details}
        recover_block(settler, row, {**described, "retryable": False})
        return
    if isinstance(answer, Reviewed):
        complete_review(tx, row, answer.output)
        return
    parked = tx.one(WAIT_FOR_REVIEW, (PERSON, REVIEW, Jsonb(output), row.id))
    run.waiting_for_people += 1
    where = place_data(parked.kind, Place(parked.scope_id, parked.item_index))
    settler.journal.event("block_waiting", parked.block_id, {"waitsFor": PERSON, **where}, row_id=parked.id)
    settler.journal.event("approval_requested", parked.block_id, answer.record() or {}, row_id=parked.id)
    log_lines.approval_required(settler.journal, run, parked)


def input_sha256(given: JsonValue) -> str:
    """Return the hash of a block's resolved configuration, by which an answer to it stands."""
    return sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


def _work(settler: Settler, row: Any) -> BlockWork:
    run, block = settler.run, settler.plan.nodes[row.node].block
    if block is None:
        raise LookupError(f"node {row.node} is no block")
    given = json.loads(row.input) if row.input else None
    return BlockWork(
        execution_id=run.id,
        execution_public_id=run.public_id,
        workspace_id=run.workspace_id,
        workspace_public_id=Workspace.objects.values_list("public_id", flat=True).get(pk=run.workspace_id),
        block_execution_id=row.id,
        fence=row.fence,
        block=work_of_row(block, row),
        input=given,
        input_sha256=input_sha256(given),
    )

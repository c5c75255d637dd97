"""The tables that the three workflows change, and the one way of changing them: once per idempotency key.

An effect and the note that it was done are one transaction, so a block that runs again (its worker died after
the commit) finds the note and answers what it answered before.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from examples.connection import Row, fetch_one, transaction
from workflow_service.agents.use_cases import RunContext

SCHEMA = "appendix_c"
TABLES = Path(__file__).with_name("tables.sql").read_text()

Result = dict[str, Any]
Connection = psycopg.Connection[Row]


def once(run: RunContext, work: Callable[[Connection], Result]) -> Result:
    """Do ``work`` in a transaction unless it was done under the run's key before; return its answer."""
    with transaction(SCHEMA, TABLES) as connection:
        # A second worker with the same key waits here for the first one's commit, and then finds its row.
        claimed = connection.execute(
            "INSERT INTO effects (idempotency_key, execution_id, block_id) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [run.idempotency_key, run.execution_id, run.block_id],
        )
        if claimed.rowcount == 0:
            done = "SELECT result FROM effects WHERE idempotency_key = %s"
            answer: Result = fetch_one(connection.execute(done, [run.idempotency_key]))[0]
            return answer
        result = work(connection)
        note = "UPDATE effects SET result = %s WHERE idempotency_key = %s"
        connection.execute(note, [Jsonb(result), run.idempotency_key])
        return result

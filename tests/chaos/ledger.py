"""The ledger: every try of a block's work writes a row of its own, before and after the work, beside the engine.

A row is committed at once, on a connection that the engine does not know. So the ledger says how often each block
really ran, and in which process, whatever became of the try's result. Loaded by the workers as a module of use cases.
"""

import os
import signal
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import psycopg
from pydantic import BaseModel, JsonValue

from workflow_service.agents.errors import ToolError
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.engine.states import ErrorType
from workflow_service.settings.config import get_config

SCHEMA = """
    CREATE TABLE IF NOT EXISTS chaos_ledger (
        attempt uuid PRIMARY KEY, execution text NOT NULL, block text NOT NULL, key text NOT NULL, pid int NOT NULL,
        begun_at timestamptz NOT NULL DEFAULT clock_timestamp(), ended_at timestamptz, outcome text);
    CREATE INDEX IF NOT EXISTS chaos_ledger_by_key ON chaos_ledger (key);
"""
BEGIN = """
    INSERT INTO chaos_ledger (attempt, execution, block, key, pid) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (attempt) DO NOTHING
"""
END = "UPDATE chaos_ledger SET ended_at = clock_timestamp(), outcome = %s WHERE attempt = %s"
TRIES_BEFORE = "SELECT count(*), count(outcome) FROM chaos_ledger WHERE key = %s AND attempt <> %s"

_connection: tuple[int, psycopg.Connection[Any]] | None = None


class Work(BaseModel):
    """How long the work takes; how often it fails before it succeeds (-1: always), or dies with its process.

    ``output`` is given back.
    """

    ms: int = 50
    fails: int = 0
    dies: int = 0
    output: dict[str, JsonValue] = {}


@use_case("chaos.work")
def work(params: Work, run: RunContext) -> dict[str, JsonValue]:
    """Write down that the work begins, do it, and write down how it ended."""
    attempt = uuid4()
    _write(BEGIN, [attempt, run.execution_id, run.block_id, run.idempotency_key, os.getpid()])
    ((tries, failed),) = _write(TRIES_BEFORE, [run.idempotency_key, attempt])
    time.sleep(params.ms / 1_000)
    if tries < params.dies:
        os.kill(os.getpid(), signal.SIGKILL)
    if params.fails < 0 or failed < params.fails:
        _write(END, ["failed", attempt])
        raise ToolError(ErrorType.NETWORK_ERROR, "failed as planned", retryable=params.fails >= 0)
    _write(END, ["done", attempt])
    return params.output


def _write(statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
    """Run a statement until the database answers: that it is gone must not look like a failure of the work."""
    global _connection
    while True:
        try:
            if _connection is None or _connection[0] != os.getpid():
                opened = psycopg.connect(get_config().postgres_url(), autocommit=True, connect_timeout=5)
                _connection = os.getpid(), opened
            cursor = _connection[1].execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []
        except psycopg.OperationalError:
            _connection = None
            time.sleep(0.1)

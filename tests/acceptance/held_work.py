"""Use cases for the acceptance tests: work that says that it began, and goes on until it is let go."""

import os
import time

import psycopg
from pydantic import BaseModel

from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.settings.config import get_config

POLL_S = 0.05
SCHEMA = """
    CREATE TABLE IF NOT EXISTS held_begun (
        id bigserial PRIMARY KEY, execution text, block text, pid int, begun_at timestamptz DEFAULT clock_timestamp());
    CREATE TABLE IF NOT EXISTS held_released (execution text PRIMARY KEY);
"""


class Nothing(BaseModel):
    """No parameters."""


class Done(BaseModel):
    """Who did it."""

    pid: int


@use_case("held.work")
def hold(params: Nothing, run: RunContext) -> Done:
    """Write down that the work began, and wait to be let go."""
    with psycopg.connect(get_config().postgres_url(), autocommit=True) as database:
        database.execute(
            "INSERT INTO held_begun (execution, block, pid) VALUES (%s, %s, %s)",
            [run.execution_id, run.block_id, os.getpid()],
        )
        released = "SELECT 1 FROM held_released WHERE execution = %s"
        while database.execute(released, [run.execution_id]).fetchone() is None:
            time.sleep(POLL_S)
    return Done(pid=os.getpid())

"""Locks that somebody else holds: a second connection on the tests' database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection

from workflow_service.settings.config import get_config


def connect_elsewhere(**options: Any) -> psycopg.Connection[Any]:
    """Open a connection of its own on the tests' database."""
    return psycopg.connect(get_config().postgres_url(), dbname=connection.settings_dict["NAME"], **options)


@contextmanager
def locked_elsewhere(execution_id: int) -> Iterator[None]:
    """Hold an execution's lock from another connection."""
    with connect_elsewhere() as holder:
        holder.execute(
            "SELECT 1 FROM executions_app_execution WHERE id = %s FOR NO KEY UPDATE", [execution_id]
        )
        yield

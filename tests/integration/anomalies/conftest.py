"""A database that each module of runs shares, as those of executions do."""

from tests.integration.executions.conftest import db

__all__ = ["db"]

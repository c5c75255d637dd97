"""The examples' tables lie in the test's own database, never in one that DATABASE_URL names, and begin anew."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connection
from psycopg.conninfo import make_conninfo

from examples.appendix_c import store
from examples.connection import transaction
from examples.sales_etl import loading
from workflow_service.agents.limits import tool_limits
from workflow_service.settings.config import get_config


@pytest.fixture
def analytics(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[psycopg.Connection]:
    """Give a connection to the database that the examples load into; workspaces' files are the test's own."""
    url = make_conninfo(get_config().postgres_url(), dbname=str(connection.settings_dict["NAME"]))
    monkeypatch.setenv("ANALYTICS_DATABASE_URL", url)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    get_config.cache_clear()
    tool_limits.cache_clear()
    with psycopg.connect(url, autocommit=True) as analytics:
        analytics.execute("DROP SCHEMA IF EXISTS sales_etl, appendix_c CASCADE")
        for module in (loading, store):
            with transaction(module.SCHEMA, module.TABLES):
                pass
        yield analytics
    get_config.cache_clear()
    tool_limits.cache_clear()

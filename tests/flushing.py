"""Django's ``flush``, by which a test's rows are removed after it, for little more than what they cost.

Only tables that were written to are emptied, row by row: they hold few, and TRUNCATE makes each table's files anew.
Content types and permissions stay as the migrations made them; Django would delete and make them again.
"""

from functools import cache
from typing import Any

import psycopg
from django.core.management import BaseCommand, get_commands
from django.db import connections, transaction

from workflow_service.audit.anchor import anchor_file

KEPT = frozenset({"django_content_type", "django_migrations", "auth_permission"})


class Flush(BaseCommand):
    """Delete all rows but those of the migrations. Ids go on."""

    stealth_options = ("database", "interactive", "reset_sequences", "allow_cascade", "inhibit_post_migrate")

    def handle(self, *_: Any, **options: Any) -> None:
        database = options.get("database", "default")
        connection = connections[database]
        quote = connection.ops.quote_name
        with transaction.atomic(using=database), connection.cursor() as cursor:
            # Planned once for all tests.
            asked = psycopg.Cursor(cursor.connection).execute(_which_hold_rows(database), prepare=True)
            deletions = [f"DELETE FROM {quote(table)}" for (table,) in asked.fetchall()]  # noqa: S608
            if deletions:
                # With references unchecked, for all of them go, and the trail's triggers not asked, which would refuse.
                cursor.execute("; ".join(["SET LOCAL session_replication_role = replica", *deletions]))
        # What it names is gone with the rows.
        anchor_file().unlink(missing_ok=True)


@cache
def _which_hold_rows(database: str) -> str:
    """Return the question which tables hold rows; the names are the models' own."""
    connection = connections[database]
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    quote = connection.ops.quote_name
    looks = (f"(SELECT '{table}' FROM {quote(table)} LIMIT 1)" for table in sorted({*tables} - KEPT))  # noqa: S608
    return " UNION ALL ".join(looks)


def replace_flush() -> None:
    """Have ``call_command("flush")`` mean `Flush` in this process."""
    # A command itself is as good as the name of its app; the types know only names.
    get_commands()["flush"] = Flush()  # type: ignore[assignment]

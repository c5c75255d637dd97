"""Django's ``flush``, by which a test's rows are removed after it, for little more than what they cost.

Only tables that were written to are emptied, row by row: they hold few, and TRUNCATE makes each table's files anew.
Content types and permissions stay as the migrations made them; Django would delete and make them again.
"""

from typing import Any

from django.core.management import BaseCommand, get_commands
from django.db import connections, transaction

from workflow_service.audit.anchor import anchor_file

KEPT = frozenset({"django_content_type", "django_migrations", "auth_permission"})
APPEND_ONLY = frozenset({"audit_entry", "audit_seal"})


class Flush(BaseCommand):
    """Delete all rows but those of the migrations. Ids go on."""

    stealth_options = ("database", "interactive", "reset_sequences", "allow_cascade", "inhibit_post_migrate")

    def handle(self, *_: Any, **options: Any) -> None:
        database = options.get("database", "default")
        connection = connections[database]
        quote = connection.ops.quote_name
        tables = {
            *connection.introspection.django_table_names(only_existing=True, include_views=False)
        } - KEPT
        # Which hold rows, in one question; the names are the models' own.
        looks = [f"(SELECT '{table}' FROM {quote(table)} LIMIT 1)" for table in sorted(tables)]  # noqa: S608
        with transaction.atomic(using=database), connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(looks))
            # Whose references these rows are is asked at the commit, when all are gone.
            deletions = [_deletion(table, quote(table)) for (table,) in cursor.fetchall()]
            if deletions:
                cursor.execute("; ".join(deletions))
        # What it names is gone with the rows.
        anchor_file().unlink(missing_ok=True)


def _deletion(table: str, quoted: str) -> str:
    """Return what empties a table; the trail's triggers refuse it to whoever does not turn them off."""
    delete = f"DELETE FROM {quoted}"  # noqa: S608
    if table in APPEND_ONLY:
        return f"SET LOCAL session_replication_role = replica; {delete}; SET LOCAL session_replication_role = DEFAULT"
    return delete


def replace_flush() -> None:
    """Have ``call_command("flush")`` mean `Flush` in this process."""
    # A command itself is as good as the name of its app; the types know only names.
    get_commands()["flush"] = Flush()  # type: ignore[assignment]

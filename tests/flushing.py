"""Django's ``flush``, by which a test's rows are removed after it, for little more than what they cost.

Only tables that were written to are emptied, row by row: they hold few, and TRUNCATE makes each table's files anew.
Content types and permissions stay as the migrations made them; Django would delete and make them again.
"""

from typing import Any

from django.core.management import BaseCommand, get_commands
from django.db import connections, transaction

KEPT = frozenset({"django_content_type", "django_migrations", "auth_permission"})


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
            deletions = [f"DELETE FROM {quote(table)}" for (table,) in cursor.fetchall()]  # noqa: S608
            if deletions:
                cursor.execute("; ".join(deletions))


def replace_flush() -> None:
    """Have ``call_command("flush")`` mean `Flush` in this process."""
    # A command itself is as good as the name of its app; the types know only names.
    get_commands()["flush"] = Flush()  # type: ignore[assignment]

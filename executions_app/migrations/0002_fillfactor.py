"""Leave room in the pages of rows that are updated with every step, so that updates stay in the page."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("executions_app", "0001_initial")]

    operations = [
        migrations.RunSQL(
            sql=[
                "ALTER TABLE executions_app_execution SET (fillfactor = 70)",
                "ALTER TABLE executions_app_blockexecution SET (fillfactor = 80)",
                "ALTER TABLE executions_app_workerlease SET (fillfactor = 50)",
            ],
            reverse_sql=[
                "ALTER TABLE executions_app_execution RESET (fillfactor)",
                "ALTER TABLE executions_app_blockexecution RESET (fillfactor)",
                "ALTER TABLE executions_app_workerlease RESET (fillfactor)",
            ],
        )
    ]

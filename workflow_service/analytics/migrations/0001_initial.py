import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("executions_app", "0001_initial"),
        ("templates_app", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="CountedRun",
            fields=[
                (
                    "execution",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="counted",
                        serialize=False,
                        to="executions_app.execution",
                    ),
                ),
                ("workspace_id", models.BigIntegerField()),
                ("template_id", models.BigIntegerField()),
                ("version_id", models.BigIntegerField()),
                ("hour", models.DateTimeField()),
                ("figures", models.JSONField()),
                ("errors", models.JSONField()),
            ],
        ),
        migrations.CreateModel(
            name="ErrorRollup",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("grain", models.CharField(choices=[("h", "Hour"), ("d", "Day")], max_length=1)),
                ("start", models.DateTimeField()),
                ("block_id", models.CharField(max_length=1000)),
                (
                    "error_type",
                    models.CharField(
                        choices=[
                            ("TIMEOUT_ERROR", "TIMEOUT_ERROR"),
                            ("NETWORK_ERROR", "NETWORK_ERROR"),
                            ("RATE_LIMIT_ERROR", "RATE_LIMIT_ERROR"),
                            ("WORKER_LOST", "WORKER_LOST"),
                            ("AGENT_UNAVAILABLE", "AGENT_UNAVAILABLE"),
                            ("VALIDATION_ERROR", "VALIDATION_ERROR"),
                            ("AUTHORIZATION_ERROR", "AUTHORIZATION_ERROR"),
                            ("RESOURCE_NOT_FOUND", "RESOURCE_NOT_FOUND"),
                            ("CONFIGURATION_ERROR", "CONFIGURATION_ERROR"),
                            ("SYSTEM_ERROR", "SYSTEM_ERROR"),
                            ("APPROVAL_REJECTED", "APPROVAL_REJECTED"),
                            ("APPROVAL_TIMEOUT", "APPROVAL_TIMEOUT"),
                            ("NO_BRANCH_MATCHED", "NO_BRANCH_MATCHED"),
                            ("ROUTING_ERROR", "ROUTING_ERROR"),
                            ("SETTLEMENT_ERROR", "SETTLEMENT_ERROR"),
                            ("NO_PATH_TO_END", "NO_PATH_TO_END"),
                            ("CHILD_CANCELLED", "CHILD_CANCELLED"),
                            ("LOOP_LIMIT_REACHED", "LOOP_LIMIT_REACHED"),
                            ("MAP_FAILED", "MAP_FAILED"),
                        ],
                        max_length=40,
                    ),
                ),
                ("count", models.BigIntegerField()),
                (
                    "template",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="templates_app.template",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="templates_app.templateversion",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.workspace",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["template", "grain", "start"], name="error_rollup_by_template"),
                    models.Index(fields=["workspace", "grain", "start"], name="error_rollup_by_workspace"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("version", "grain", "start", "block_id", "error_type"),
                        name="error_rollup_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Rollup",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("grain", models.CharField(choices=[("h", "Hour"), ("d", "Day")], max_length=1)),
                ("start", models.DateTimeField()),
                ("block_id", models.CharField(blank=True, max_length=1000)),
                ("completed", models.BigIntegerField()),
                ("failed", models.BigIntegerField()),
                ("rejected", models.BigIntegerField()),
                ("skipped", models.BigIntegerField()),
                ("cancelled", models.BigIntegerField()),
                ("retries", models.BigIntegerField()),
                ("troubled", models.BigIntegerField()),
                ("recovered", models.BigIntegerField()),
                ("duration_us", models.DecimalField(decimal_places=0, max_digits=30)),
                ("histogram", models.JSONField()),
                (
                    "template",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="templates_app.template",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="templates_app.templateversion",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.workspace",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["template", "grain", "start"], name="rollup_by_template"),
                    models.Index(
                        condition=models.Q(("block_id", "")),
                        fields=["workspace", "grain", "start"],
                        name="rollup_of_runs",
                    ),
                ],
                "verbose_name_plural": "how runs went",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("version", "grain", "start", "block_id"), name="rollup_once"
                    )
                ],
            },
        ),
    ]

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import workflow_service.agents.selection


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("accounts", "__first__"),
    ]

    operations = [
        migrations.CreateModel(
            name="Agent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "public_id",
                    models.CharField(
                        max_length=100,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z0-9_][\\w.-]{0,99}\\Z",
                                "Letters, digits, '_', '-' and '.' are allowed.",
                                flags=256,
                            )
                        ],
                        verbose_name="agent id",
                    ),
                ),
                ("name", models.CharField(max_length=255)),
                ("description", models.TextField(blank=True, max_length=2000)),
                ("capabilities", models.JSONField(blank=True, default=list)),
                (
                    "tool_types",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("API", "API"),
                                ("SCRIPT", "SCRIPT"),
                                ("USE_CASE", "USE_CASE"),
                                ("MCP", "MCP"),
                                ("LLM", "LLM"),
                                ("NOOP", "NOOP"),
                                ("HUMAN", "HUMAN"),
                                ("MAP", "MAP"),
                                ("SUBWORKFLOW", "SUBWORKFLOW"),
                                ("WAIT", "WAIT"),
                            ],
                            max_length=12,
                        ),
                        size=None,
                    ),
                ),
                (
                    "runtime",
                    models.CharField(
                        choices=[
                            ("local", "In the workers"),
                            ("endpoint", "At its own address"),
                            ("service", "Agent Service"),
                        ],
                        default="local",
                        max_length=8,
                    ),
                ),
                ("endpoint", models.CharField(blank=True, max_length=2000)),
                ("configuration", models.JSONField(blank=True, default=dict)),
                (
                    "tags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100), blank=True, default=list, size=None
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("HEALTHY", "HEALTHY"),
                            ("DEGRADED", "DEGRADED"),
                            ("UNHEALTHY", "UNHEALTHY"),
                            ("UNKNOWN", "UNKNOWN"),
                        ],
                        default=workflow_service.agents.selection.AgentStatus["UNKNOWN"],
                        max_length=10,
                    ),
                ),
                ("status_message", models.CharField(blank=True, max_length=500)),
                ("status_since", models.DateTimeField(blank=True, null=True)),
                ("failed_checks", models.PositiveSmallIntegerField(default=0)),
                ("checked_at", models.DateTimeField(blank=True, null=True)),
                ("next_check_at", models.DateTimeField(blank=True, null=True)),
                (
                    "heartbeat_ttl_s",
                    models.PositiveIntegerField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(5),
                            django.core.validators.MaxValueValidator(86400),
                        ],
                    ),
                ),
                ("heartbeat_at", models.DateTimeField(blank=True, null=True)),
                (
                    "rate_per_min",
                    models.PositiveIntegerField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000000),
                        ],
                    ),
                ),
                (
                    "rate_burst",
                    models.PositiveIntegerField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100000),
                        ],
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="agents",
                        to="accounts.workspace",
                    ),
                ),
            ],
            options={
                "ordering": ("public_id",),
                "indexes": [models.Index(fields=["next_check_at"], name="agent_next_check")],
                "constraints": [
                    models.UniqueConstraint(fields=("workspace", "public_id"), name="agent_once"),
                    models.UniqueConstraint(
                        condition=models.Q(("workspace__isnull", True)),
                        fields=("public_id",),
                        name="built_in_agent_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("runtime", "endpoint"), ("endpoint", ""), _connector="XOR"),
                        name="agent_endpoint_if_its_own",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AgentStatistic",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("agent_id", models.CharField(max_length=100)),
                ("tries", models.BigIntegerField(db_default=0, default=0)),
                ("succeeded", models.BigIntegerField(db_default=0, default=0)),
                ("average_ms", models.FloatField(null=True)),
                ("running", models.IntegerField(db_default=0, default=0)),
                ("capacity", models.IntegerField(db_default=0, default=0)),
                ("counted_at", models.DateTimeField(auto_now=True)),
                (
                    "workspace",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.workspace",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("workspace", "agent_id"), name="agent_statistic_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="AgentStatusChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("old_status", models.CharField(max_length=10)),
                ("new_status", models.CharField(max_length=10)),
                ("message", models.CharField(blank=True, max_length=500)),
                ("changed_at", models.DateTimeField()),
                (
                    "agent",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="status_changes",
                        to="agents.agent",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="AgentUpkeep",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("discovered_at", models.DateTimeField(null=True)),
                ("load_counted_at", models.DateTimeField(null=True)),
                ("work_counted_at", models.DateTimeField(null=True)),
                (
                    "service_status",
                    models.CharField(
                        choices=[
                            ("HEALTHY", "HEALTHY"),
                            ("DEGRADED", "DEGRADED"),
                            ("UNHEALTHY", "UNHEALTHY"),
                            ("UNKNOWN", "UNKNOWN"),
                        ],
                        default=workflow_service.agents.selection.AgentStatus["UNKNOWN"],
                        max_length=10,
                    ),
                ),
                ("service_message", models.CharField(blank=True, max_length=500)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="agent_upkeep_once")
                ],
            },
        ),
    ]

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import workflow_service.decisions.models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("accounts", "__first__"),
        ("executions_app", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Decision",
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
                        default=workflow_service.decisions.models.new_decision_id,
                        editable=False,
                        max_length=40,
                        unique=True,
                    ),
                ),
                ("block_execution_id", models.BigIntegerField(unique=True)),
                ("block_id", models.CharField(max_length=1000)),
                ("question", models.TextField(blank=True)),
                ("options", models.JSONField(default=list)),
                (
                    "chosen",
                    django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("model", "language model"),
                            ("cache", "language model (kept answer)"),
                            ("expression", "expression"),
                            ("history", "like cases"),
                            ("default", "default"),
                            ("person", "person"),
                        ],
                        max_length=12,
                    ),
                ),
                ("reasoning", models.TextField(blank=True)),
                ("confidence", models.FloatField(null=True)),
                ("model", models.CharField(blank=True, max_length=200)),
                ("prompt", models.CharField(blank=True, max_length=100)),
                ("cost_usd", models.DecimalField(decimal_places=8, default=0, max_digits=16)),
                ("tokens", models.PositiveIntegerField(default=0)),
                ("cached", models.BooleanField(default=False)),
                ("case_sha256", models.CharField(max_length=64)),
                ("shown", models.JSONField(default=dict)),
                ("decided_by", models.CharField(blank=True, max_length=150)),
                ("created_at", models.DateTimeField()),
                (
                    "override",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), blank=True, null=True, size=None
                    ),
                ),
                ("overridden_at", models.DateTimeField(blank=True, null=True)),
                ("override_reason", models.TextField(blank=True)),
                ("rerouted", models.BooleanField(default=False)),
                (
                    "execution",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="decisions",
                        to="executions_app.execution",
                    ),
                ),
                (
                    "overridden_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.workspace"
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["workspace", "case_sha256", "-id"], name="decision_like_cases"),
                    models.Index(fields=["workspace", "-id"], name="decision_newest"),
                    models.Index(fields=["execution", "id"], name="decision_of_run"),
                    models.Index(fields=["workspace", "source", "-id"], name="decision_by_source"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("source__in", ("model", "cache", "expression", "history", "default", "person"))
                        ),
                        name="decision_source_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("confidence__isnull", True), ("confidence__range", (0, 100)), _connector="OR"
                        ),
                        name="decision_confidence_is_percent",
                    ),
                ],
            },
        ),
    ]

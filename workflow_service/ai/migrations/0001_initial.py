import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import workflow_service.ai.models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("accounts", "__first__"),
    ]

    operations = [
        migrations.CreateModel(
            name="Budget",
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
                        default=workflow_service.ai.models.new_budget_id,
                        editable=False,
                        max_length=40,
                        unique=True,
                    ),
                ),
                (
                    "scope",
                    models.CharField(
                        choices=[
                            ("call", "each call"),
                            ("run", "each run"),
                            ("workflow", "a workflow"),
                            ("user", "a user"),
                            ("workspace", "the workspace"),
                        ],
                        default="workspace",
                        max_length=16,
                    ),
                ),
                (
                    "subject",
                    models.CharField(
                        blank=True,
                        help_text="Public id of one user, template or run; empty: each of them has this limit.",
                        max_length=64,
                    ),
                ),
                (
                    "period",
                    models.CharField(
                        choices=[("total", "in all"), ("month", "per month"), ("day", "per day")],
                        default="month",
                        max_length=8,
                    ),
                ),
                (
                    "limit_usd",
                    workflow_service.ai.models.UsdField(
                        decimal_places=10, max_digits=20, verbose_name="limit (USD)"
                    ),
                ),
                (
                    "policy",
                    models.CharField(
                        choices=[("downgrade", "cheaper model"), ("ask", "ask a person"), ("stop", "stop")],
                        default="stop",
                        max_length=12,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.workspace"
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("workspace", "scope", "subject", "period"), name="budget_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("limit_usd__gte", 0)), name="budget_limit_not_negative"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="BudgetAccount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("subject", models.CharField(blank=True, max_length=64)),
                ("period_start", models.DateField()),
                (
                    "spent_usd",
                    workflow_service.ai.models.UsdField(decimal_places=10, default=0, max_digits=20),
                ),
                (
                    "reserved_usd",
                    workflow_service.ai.models.UsdField(decimal_places=10, default=0, max_digits=20),
                ),
                (
                    "budget",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="accounts", to="ai.budget"
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("budget", "subject", "period_start"), name="budget_account_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reserved_usd__gte", 0)), name="budget_reserved_not_negative"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LlmUsage",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("template_id", models.CharField(blank=True, max_length=64)),
                ("execution_id", models.CharField(blank=True, max_length=64)),
                ("block_id", models.CharField(blank=True, max_length=100)),
                ("operation", models.CharField(max_length=64)),
                ("prompt", models.CharField(blank=True, max_length=100)),
                ("provider", models.CharField(max_length=100)),
                ("model", models.CharField(max_length=200)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("RESERVED", "reserved"),
                            ("CALLED", "called"),
                            ("SETTLED", "settled"),
                            ("RELEASED", "released"),
                            ("ASSUMED", "assumed"),
                        ],
                        max_length=8,
                    ),
                ),
                ("outcome", models.CharField(blank=True, max_length=40)),
                ("cached", models.BooleanField(default=False)),
                ("prompt_tokens", models.PositiveIntegerField(default=0)),
                ("completion_tokens", models.PositiveIntegerField(default=0)),
                (
                    "estimated_usd",
                    workflow_service.ai.models.UsdField(decimal_places=10, default=0, max_digits=20),
                ),
                (
                    "reserved_usd",
                    workflow_service.ai.models.UsdField(decimal_places=10, default=0, max_digits=20),
                ),
                (
                    "cost_usd",
                    workflow_service.ai.models.UsdField(decimal_places=10, default=0, max_digits=20),
                ),
                ("latency_ms", models.PositiveIntegerField(default=0)),
                (
                    "accounts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), blank=True, default=list, size=None
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("lease_expires_at", models.DateTimeField(blank=True, null=True)),
                (
                    "user",
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
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.workspace"
                    ),
                ),
            ],
            options={
                "verbose_name": "call of a language model",
                "verbose_name_plural": "calls of language models",
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["workspace", "created_at"], name="llm_usage_by_time"),
                    models.Index(
                        condition=models.Q(("execution_id", ""), _negated=True),
                        fields=["execution_id"],
                        name="llm_usage_of_run",
                    ),
                    models.Index(
                        condition=models.Q(("state__in", ("RESERVED", "CALLED"))),
                        fields=["lease_expires_at"],
                        name="llm_usage_under_way",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ("RESERVED", "CALLED", "SETTLED", "RELEASED", "ASSUMED"))
                        ),
                        name="llm_usage_state_known",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ModelOverrun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("provider", models.CharField(max_length=100)),
                ("model", models.CharField(max_length=200)),
                ("factor", models.DecimalField(decimal_places=4, max_digits=12)),
                ("seen_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("provider", "model"), name="model_overrun_once")
                ],
            },
        ),
    ]

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import workflow_service.advisor.models
import workflow_service.advisor.vocabulary


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("accounts", "__first__"),
        ("templates_app", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="OptimizationRecord",
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
                        default=workflow_service.advisor.models.new_optimization_id,
                        editable=False,
                        max_length=40,
                        unique=True,
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("parallelise", "parallelise"),
                            ("retry", "retry"),
                            ("timeout", "timeout"),
                            ("cache", "cache"),
                            ("cheaper_model", "cheaper_model"),
                            ("reorder", "reorder"),
                            ("dead_branch", "dead_branch"),
                            ("split", "split"),
                        ],
                        max_length=16,
                    ),
                ),
                ("subject", models.CharField(max_length=2000)),
                (
                    "blocks",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100), default=list, size=100
                    ),
                ),
                (
                    "type",
                    models.CharField(
                        choices=[
                            ("performance", "performance"),
                            ("reliability", "reliability"),
                            ("cost", "cost"),
                            ("ux", "user experience"),
                        ],
                        max_length=16,
                    ),
                ),
                ("title", models.CharField(max_length=200)),
                ("description", models.CharField(max_length=1000)),
                ("ai_reasoning", models.CharField(blank=True, max_length=2000)),
                ("source", models.CharField(choices=[("rules", "rules"), ("model", "model")], max_length=8)),
                ("worded_by", models.CharField(blank=True, max_length=200)),
                (
                    "measure",
                    models.CharField(
                        choices=[
                            ("duration", "duration"),
                            ("failures", "failures"),
                            ("cost", "cost"),
                            ("size", "size"),
                        ],
                        max_length=8,
                    ),
                ),
                ("estimated_improvement", models.PositiveSmallIntegerField()),
                (
                    "implementation_effort",
                    models.CharField(
                        choices=[("low", "low"), ("medium", "medium"), ("high", "high")], max_length=8
                    ),
                ),
                ("priority", models.PositiveSmallIntegerField()),
                ("proposed_changes", models.JSONField(default=dict)),
                ("evidence", models.JSONField(default=dict)),
                ("definition", models.JSONField()),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("suggested", "suggested"),
                            ("accepted", "accepted"),
                            ("implemented", "implemented"),
                            ("measured", "measured"),
                            ("rejected", "rejected"),
                            ("outdated", "outdated"),
                        ],
                        default=workflow_service.advisor.vocabulary.Status["SUGGESTED"],
                        max_length=12,
                    ),
                ),
                ("decided_at", models.DateTimeField(null=True)),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("implemented_at", models.DateTimeField(null=True)),
                ("actual_improvement", models.IntegerField(null=True)),
                ("measurement", models.JSONField(null=True)),
                ("measured_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "accepted_version",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="optimizations",
                        to="templates_app.templateversion",
                    ),
                ),
                (
                    "base_version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="templates_app.templateversion",
                    ),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "template",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="optimizations",
                        to="templates_app.template",
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
                "verbose_name": "suggestion",
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["template", "status", "-id"], name="suggestion_by_template"),
                    models.Index(
                        condition=models.Q(("accepted_version__isnull", False)),
                        fields=["accepted_version"],
                        name="suggestion_by_version_made",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status", "suggested")),
                        fields=("template", "kind", "subject"),
                        name="suggestion_open_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "status__in",
                                ["suggested", "accepted", "implemented", "measured", "rejected", "outdated"],
                            )
                        ),
                        name="suggestion_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("estimated_improvement__lte", 100)),
                        name="suggestion_improves_by_percent",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("priority__gte", 1), ("priority__lte", 5)),
                        name="suggestion_priority_1_to_5",
                    ),
                ],
            },
        ),
    ]

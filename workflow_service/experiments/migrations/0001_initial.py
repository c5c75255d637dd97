from decimal import Decimal

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import workflow_service.experiments.models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("accounts", "__first__"),
        ("executions_app", "0001_initial"),
        ("templates_app", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Experiment",
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
                        default=workflow_service.experiments.models.new_experiment_id,
                        editable=False,
                        max_length=40,
                        unique=True,
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("hypothesis", models.TextField(blank=True, max_length=2000)),
                (
                    "treatment_share",
                    models.PositiveSmallIntegerField(
                        default=50,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(99),
                        ],
                    ),
                ),
                (
                    "sticky_by",
                    models.CharField(
                        choices=[
                            ("run", "each run for itself"),
                            ("starter", "whoever starts it"),
                            ("input", "a value of the input"),
                        ],
                        default="run",
                        max_length=8,
                    ),
                ),
                ("sticky_expression", models.CharField(blank=True, max_length=500)),
                (
                    "metric",
                    models.CharField(
                        choices=[
                            ("success_rate", "Success rate"),
                            ("duration", "Duration"),
                            ("cost", "Cost"),
                        ],
                        default="success_rate",
                        max_length=16,
                    ),
                ),
                (
                    "alpha",
                    models.DecimalField(
                        decimal_places=3,
                        default=Decimal("0.05"),
                        max_digits=4,
                        validators=[
                            django.core.validators.MinValueValidator(Decimal("0.001")),
                            django.core.validators.MaxValueValidator(Decimal("0.5")),
                        ],
                    ),
                ),
                (
                    "min_units",
                    models.PositiveIntegerField(
                        default=30,
                        validators=[
                            django.core.validators.MinValueValidator(20),
                            django.core.validators.MaxValueValidator(1000000),
                        ],
                    ),
                ),
                (
                    "max_error_increase",
                    models.DecimalField(
                        blank=True,
                        decimal_places=2,
                        default=Decimal("5"),
                        max_digits=5,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                (
                    "max_duration_ratio",
                    models.DecimalField(
                        blank=True,
                        decimal_places=2,
                        default=Decimal("1.5"),
                        max_digits=5,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                ("ends_at", models.DateTimeField(blank=True, null=True)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("running", "Running"),
                            ("stopped", "Stopped"),
                            ("rolled_back", "Rolled back"),
                        ],
                        default="draft",
                        max_length=12,
                    ),
                ),
                (
                    "winner",
                    models.CharField(
                        blank=True, choices=[("control", "Control"), ("treatment", "Treatment")], max_length=9
                    ),
                ),
                ("ended_because", models.CharField(blank=True, max_length=500)),
                ("results", models.JSONField(editable=False, null=True)),
                ("news", models.PositiveBigIntegerField(default=0, editable=False)),
                ("news_evaluated", models.PositiveBigIntegerField(default=0, editable=False)),
                ("evaluated_at", models.DateTimeField(editable=False, null=True)),
                ("evaluation_ms", models.PositiveIntegerField(default=0, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "control",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="templates_app.templateversion",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "promoted_version",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="templates_app.templateversion",
                    ),
                ),
                (
                    "started_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "template",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="experiments",
                        to="templates_app.template",
                    ),
                ),
                (
                    "treatment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="templates_app.templateversion",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="experiments",
                        to="accounts.workspace",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [models.Index(fields=["workspace", "-id"], name="experiment_by_workspace")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["draft", "running", "stopped", "rolled_back"])),
                        name="experiment_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("treatment_share__gte", 1), ("treatment_share__lte", 99)),
                        name="experiment_share_leaves_both",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("control", models.F("treatment")), _negated=True),
                        name="experiment_compares_two",
                        violation_error_message="The treatment must be another version than the control.",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "running")),
                        fields=("template",),
                        name="experiment_runs_alone_on_its_template",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Assignment",
            fields=[
                (
                    "execution",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="assignment",
                        serialize=False,
                        to="executions_app.execution",
                    ),
                ),
                (
                    "arm",
                    models.CharField(
                        choices=[("control", "Control"), ("treatment", "Treatment")], max_length=9
                    ),
                ),
                ("unit", models.BigIntegerField()),
                ("outcome", models.CharField(blank=True, db_default="", max_length=12)),
                ("active_ms", models.BigIntegerField(null=True)),
                ("cost_usd", models.FloatField(null=True)),
                ("assigned_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("counted_at", models.DateTimeField(null=True)),
                (
                    "experiment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="assignments",
                        to="experiments.experiment",
                    ),
                ),
            ],
            options={
                "ordering": ("-execution_id",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("arm__in", ["control", "treatment"])), name="assignment_arm_known"
                    )
                ],
            },
        ),
    ]

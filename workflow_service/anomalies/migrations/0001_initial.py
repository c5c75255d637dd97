import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
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
            name="Anomaly",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("duration", "Duration"),
                            ("error_rate", "Error rate"),
                            ("output_size", "Output size"),
                            ("path", "Path"),
                        ],
                        max_length=12,
                    ),
                ),
                ("block_id", models.CharField(blank=True, max_length=1000)),
                ("value", models.FloatField()),
                ("low", models.FloatField()),
                ("high", models.FloatField()),
                ("score", models.FloatField()),
                ("runs", models.IntegerField()),
                ("explanation", models.TextField()),
                ("while_running", models.BooleanField(default=False)),
                ("detected_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "execution",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="anomalies",
                        to="executions_app.execution",
                    ),
                ),
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
                "verbose_name_plural": "anomalies",
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["workspace", "-id"], name="anomaly_newest"),
                    models.Index(fields=["template", "-id"], name="anomaly_by_template"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("execution", "kind", "block_id"), name="anomaly_once"),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["duration", "error_rate", "output_size", "path"])),
                        name="anomaly_kind_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="BlockHistory",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("block_id", models.CharField(blank=True, max_length=1000)),
                (
                    "durations_ms",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), default=list, size=None
                    ),
                ),
                (
                    "sizes_bytes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), default=list, size=None
                    ),
                ),
                ("outcomes", models.TextField(blank=True)),
                ("alarmed", models.BooleanField(default=False)),
                ("runs", models.BigIntegerField(default=0)),
                (
                    "paths",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=16), default=list, size=None
                    ),
                ),
                ("long_ms", models.BigIntegerField(null=True)),
                ("updated_at", models.DateTimeField()),
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
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("block_id", "")),
                        fields=["template", "-version"],
                        name="history_of_template",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("version", "block_id"), name="block_history_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="FailurePredictor",
            fields=[
                (
                    "template",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="templates_app.template",
                    ),
                ),
                ("unfitted", models.IntegerField(default=0)),
                ("model", models.JSONField(null=True)),
                ("useful", models.BooleanField(default=False)),
                ("fitted_on", models.IntegerField(default=0)),
                ("judged_on", models.IntegerField(default=0)),
                ("base_rate", models.FloatField(null=True)),
                ("brier", models.FloatField(null=True)),
                ("base_brier", models.FloatField(null=True)),
                ("fitted_at", models.DateTimeField(null=True)),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.workspace"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("unfitted__gt", 0)),
                        fields=["unfitted"],
                        name="predictor_unfitted",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Observation",
            fields=[
                (
                    "execution",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="executions_app.execution",
                    ),
                ),
                ("failed", models.BooleanField()),
                ("features", models.JSONField()),
                (
                    "template",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="templates_app.template",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["template", "-execution"], name="observation_of_template")],
            },
        ),
    ]

import uuid

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Channel",
            fields=[
                ("name", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("failures", models.IntegerField(default=0)),
                ("paused_until", models.DateTimeField(null=True)),
                ("last_error", models.CharField(blank=True, max_length=500)),
                ("last_success_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Message",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("channel", models.CharField(max_length=40)),
                ("subject", models.CharField(max_length=100)),
                ("message_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("body", models.JSONField()),
                (
                    "status",
                    models.CharField(
                        choices=[("PENDING", "Pending"), ("DEAD", "Dead")],
                        db_default="PENDING",
                        default="PENDING",
                        max_length=8,
                    ),
                ),
                ("attempts", models.IntegerField(db_default=0, default=0)),
                ("due_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("leased_until", models.DateTimeField(null=True)),
                ("lease", models.UUIDField(null=True)),
                ("last_error", models.CharField(blank=True, db_default="", max_length=500)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "PENDING")),
                        fields=["channel", "subject", "id"],
                        name="outbox_order",
                    ),
                    models.Index(
                        condition=models.Q(("status", "PENDING")),
                        fields=["channel", "due_at"],
                        name="outbox_due",
                    ),
                ],
            },
        ),
    ]

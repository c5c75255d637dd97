import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import workflow_service.notifications.models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("accounts", "__first__"),
    ]

    operations = [
        migrations.CreateModel(
            name="WebhookEndpoint",
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
                        default=workflow_service.notifications.models.new_endpoint_id,
                        editable=False,
                        max_length=40,
                        unique=True,
                    ),
                ),
                ("url", models.CharField(max_length=2000, verbose_name="URL")),
                ("description", models.CharField(blank=True, max_length=200)),
                (
                    "topics",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("approval_requested", "A question waits for an answer"),
                                ("approval_reminded", "A question still waits"),
                                ("approval_escalated", "A question was escalated"),
                                ("approval_delegated", "A question was handed over"),
                                ("approval_responded", "A question was answered"),
                                ("approval_timeout", "A question is overdue"),
                                ("execution_completed", "An execution completed"),
                                ("execution_failed", "An execution failed"),
                                ("anomaly_detected", "An execution was unusual"),
                                ("experiment_ended", "An experiment ended"),
                            ],
                            max_length=32,
                        ),
                        size=None,
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                ("disabled_reason", models.CharField(blank=True, editable=False, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("last_success_at", models.DateTimeField(editable=False, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="webhook_endpoints",
                        to="accounts.workspace",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [models.Index(fields=["workspace", "-id"], name="webhook_endpoint_newest")],
            },
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
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
                        default=workflow_service.notifications.models.new_delivery_id,
                        editable=False,
                        max_length=40,
                        unique=True,
                    ),
                ),
                ("message_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("key", models.CharField(max_length=200)),
                ("topic", models.CharField(max_length=32)),
                ("body", models.JSONField()),
                (
                    "status",
                    models.CharField(
                        choices=[("pending", "Waiting"), ("delivered", "Delivered"), ("failed", "Given up")],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("attempts", models.IntegerField(default=0)),
                ("last_status", models.SmallIntegerField(null=True, verbose_name="last answer")),
                ("last_error", models.CharField(blank=True, max_length=500)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("last_tried_at", models.DateTimeField(null=True)),
                (
                    "endpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="notifications.webhookendpoint",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "webhook deliveries",
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["endpoint", "status", "-id"], name="webhook_delivery_newest"),
                    models.Index(fields=["created_at"], name="webhook_delivery_age"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("endpoint", "key"), name="webhook_delivery_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookSecret",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key_id", models.CharField(max_length=40)),
                ("sealed", models.BinaryField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("expires_at", models.DateTimeField(null=True)),
                (
                    "endpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="secrets",
                        to="notifications.webhookendpoint",
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
                "indexes": [models.Index(fields=["key_id", "id"], name="webhook_secret_key")],
            },
        ),
        migrations.CreateModel(
            name="Notification",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "topic",
                    models.CharField(
                        choices=[
                            ("approval_requested", "A question waits for an answer"),
                            ("approval_reminded", "A question still waits"),
                            ("approval_escalated", "A question was escalated"),
                            ("approval_delegated", "A question was handed over"),
                            ("approval_responded", "A question was answered"),
                            ("approval_timeout", "A question is overdue"),
                            ("execution_completed", "An execution completed"),
                            ("execution_failed", "An execution failed"),
                            ("anomaly_detected", "An execution was unusual"),
                            ("experiment_ended", "An experiment ended"),
                        ],
                        max_length=32,
                    ),
                ),
                ("key", models.CharField(max_length=200)),
                ("title", models.CharField(max_length=300)),
                ("text", models.TextField(blank=True)),
                ("path", models.CharField(blank=True, max_length=500)),
                ("shown", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("read_at", models.DateTimeField(null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="notifications",
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
                    models.Index(
                        condition=models.Q(("shown", True)),
                        fields=["user", "-id"],
                        name="notification_newest",
                    ),
                    models.Index(
                        condition=models.Q(("read_at", None), ("shown", True)),
                        fields=["user"],
                        name="notification_unread",
                    ),
                    models.Index(fields=["created_at"], name="notification_age"),
                ],
                "constraints": [models.UniqueConstraint(fields=("user", "key"), name="notification_once")],
            },
        ),
        migrations.CreateModel(
            name="NotificationPreference",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "topic",
                    models.CharField(
                        choices=[
                            ("approval_requested", "A question waits for an answer"),
                            ("approval_reminded", "A question still waits"),
                            ("approval_escalated", "A question was escalated"),
                            ("approval_delegated", "A question was handed over"),
                            ("approval_responded", "A question was answered"),
                            ("approval_timeout", "A question is overdue"),
                            ("execution_completed", "An execution completed"),
                            ("execution_failed", "An execution failed"),
                            ("anomaly_detected", "An execution was unusual"),
                            ("experiment_ended", "An experiment ended"),
                        ],
                        max_length=32,
                    ),
                ),
                ("email", models.BooleanField(default=True)),
                ("in_app", models.BooleanField(default=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("user", "topic"), name="notification_preference_once")
                ],
            },
        ),
    ]

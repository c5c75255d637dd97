import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import approvals_app.models
import workflow_service.engine.states


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("accounts", "__first__"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("executions_app", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Approval",
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
                        default=approvals_app.models.new_approval_id,
                        editable=False,
                        max_length=40,
                        unique=True,
                    ),
                ),
                ("block_id", models.CharField(max_length=100)),
                ("block_name", models.CharField(blank=True, max_length=255)),
                (
                    "type",
                    models.CharField(
                        choices=[
                            ("APPROVAL", "APPROVAL"),
                            ("REVIEW", "REVIEW"),
                            ("INPUT", "INPUT"),
                            ("INTERVENTION", "INTERVENTION"),
                            ("CHOICE", "CHOICE"),
                        ],
                        max_length=16,
                    ),
                ),
                ("level", models.CharField(blank=True, max_length=100)),
                (
                    "assignees",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=150), blank=True, default=list, size=None
                    ),
                ),
                ("four_eyes", models.BooleanField(default=False)),
                ("message", models.TextField(blank=True)),
                ("input", models.JSONField(null=True)),
                ("input_sha256", models.CharField(max_length=64)),
                ("response_schema", models.JSONField(null=True)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("PENDING", "PENDING"),
                            ("APPROVED", "APPROVED"),
                            ("REJECTED", "REJECTED"),
                            ("CANCELLED", "CANCELLED"),
                            ("EXPIRED", "EXPIRED"),
                        ],
                        default=workflow_service.engine.states.ApprovalStatus["PENDING"],
                        max_length=12,
                    ),
                ),
                ("requested_at", models.DateTimeField()),
                ("due_at", models.DateTimeField(null=True)),
                ("responded_at", models.DateTimeField(null=True)),
                ("response", models.JSONField(null=True)),
                ("comments", models.TextField(blank=True)),
                ("source", models.CharField(blank=True, max_length=16)),
                (
                    "block_execution",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="approvals",
                        to="executions_app.blockexecution",
                    ),
                ),
                (
                    "execution",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="approvals",
                        to="executions_app.execution",
                    ),
                ),
                (
                    "responded_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="approvals",
                        to="accounts.workspace",
                    ),
                ),
                ("allow_delegation", models.BooleanField(db_default=True, default=True)),
                (
                    "delegate_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(),
                        blank=True,
                        db_default=[],
                        default=list,
                        size=None,
                    ),
                ),
                ("escalation_chain", models.JSONField(blank=True, db_default=[], default=list)),
                ("escalation_step", models.PositiveSmallIntegerField(db_default=0, default=0)),
                (
                    "involved_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(),
                        blank=True,
                        db_default=[],
                        default=list,
                        size=None,
                    ),
                ),
                ("next_timer_at", models.DateTimeField(null=True)),
                (
                    "on_timeout",
                    models.CharField(
                        choices=[
                            ("wait", "Wait"),
                            ("approve", "Approve"),
                            ("reject", "Reject"),
                            ("fail", "Fail"),
                        ],
                        db_default="wait",
                        default="wait",
                        max_length=8,
                    ),
                ),
                ("proposed", models.JSONField(null=True)),
                ("proposed_sha256", models.CharField(blank=True, db_default="", default="", max_length=64)),
                ("quorum", models.PositiveSmallIntegerField(db_default=1, default=1)),
                ("remind_every_s", models.PositiveIntegerField(null=True)),
                ("version", models.PositiveIntegerField(db_default=1, default=1)),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "PENDING")),
                        fields=["workspace", "-id"],
                        name="approval_pending",
                    ),
                    models.Index(
                        condition=models.Q(("status", "PENDING")),
                        fields=["next_timer_at"],
                        name="approval_timer",
                    ),
                    models.Index(fields=["workspace", "-id"], name="approval_newest"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("status__in", ["PENDING", "APPROVED", "REJECTED", "CANCELLED", "EXPIRED"])
                        ),
                        name="approval_status_known",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "PENDING")),
                        fields=("block_execution",),
                        name="approval_pending_once",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ApprovalEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("workspace_id", models.BigIntegerField()),
                ("type", models.CharField(max_length=32)),
                ("data", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField()),
                (
                    "approval",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="approvals_app.approval",
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "indexes": [models.Index(fields=["workspace_id", "id"], name="approval_event_order")],
            },
        ),
        migrations.CreateModel(
            name="ApprovalComment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("text", models.TextField()),
                ("created_at", models.DateTimeField()),
                (
                    "approval",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="discussion",
                        to="approvals_app.approval",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
            },
        ),
        migrations.CreateModel(
            name="ApprovalDelegation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("comments", models.TextField(blank=True)),
                ("created_at", models.DateTimeField()),
                (
                    "approval",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="delegations",
                        to="approvals_app.approval",
                    ),
                ),
                (
                    "from_user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "to_user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("approval", "from_user", "to_user"), name="approval_delegation_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ApprovalLevel",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                ("groups", models.ManyToManyField(related_name="+", to="auth.group")),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="approval_levels",
                        to="accounts.workspace",
                    ),
                ),
            ],
            options={
                "ordering": ("workspace", "name"),
                "constraints": [
                    models.UniqueConstraint(fields=("workspace", "name"), name="approval_level_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="ApprovalVote",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("approved", models.BooleanField()),
                ("response", models.JSONField(null=True)),
                ("comments", models.TextField(blank=True)),
                ("source", models.CharField(max_length=16)),
                ("version", models.PositiveIntegerField()),
                ("created_at", models.DateTimeField()),
                (
                    "approval",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="votes",
                        to="approvals_app.approval",
                    ),
                ),
                (
                    "on_behalf_of",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "constraints": [
                    models.UniqueConstraint(fields=("approval", "user"), name="approval_vote_once"),
                    models.UniqueConstraint(
                        condition=models.Q(("on_behalf_of__isnull", False)),
                        fields=("approval", "on_behalf_of"),
                        name="approval_vote_once_for",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="OutOfOffice",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField(blank=True, null=True)),
                ("reason", models.CharField(blank=True, max_length=200)),
                (
                    "delegate",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
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
                "verbose_name": "out of office",
                "verbose_name_plural": "out of office",
                "ordering": ("-starts_at",),
                "indexes": [models.Index(fields=["delegate", "workspace"], name="out_of_office_delegate")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("ends_at__isnull", True), ("ends_at__gt", models.F("starts_at")), _connector="OR"
                        ),
                        name="out_of_office_ends_later",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("user", models.F("delegate")), _negated=True),
                        name="out_of_office_names_another",
                    ),
                ],
            },
        ),
    ]

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_idempotent_requests"),
        ("approvals_app", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("executions_app", "0005_mirror"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
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
            ],
            options={
                "ordering": ("id",),
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
            ],
            options={
                "ordering": ("workspace", "name"),
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
            ],
            options={
                "ordering": ("id",),
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
            ],
            options={
                "verbose_name": "out of office",
                "verbose_name_plural": "out of office",
                "ordering": ("-starts_at",),
            },
        ),
        migrations.AddField(
            model_name="approval",
            name="allow_delegation",
            field=models.BooleanField(db_default=True, default=True),
        ),
        migrations.AddField(
            model_name="approval",
            name="delegate_ids",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.BigIntegerField(), blank=True, db_default=[], default=list, size=None
            ),
        ),
        migrations.AddField(
            model_name="approval",
            name="escalation_chain",
            field=models.JSONField(blank=True, db_default=[], default=list),
        ),
        migrations.AddField(
            model_name="approval",
            name="escalation_step",
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="approval",
            name="involved_ids",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.BigIntegerField(), blank=True, db_default=[], default=list, size=None
            ),
        ),
        migrations.AddField(
            model_name="approval",
            name="next_timer_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="approval",
            name="on_timeout",
            field=models.CharField(
                choices=[("wait", "Wait"), ("approve", "Approve"), ("reject", "Reject"), ("fail", "Fail")],
                db_default="wait",
                default="wait",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="approval",
            name="proposed",
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name="approval",
            name="proposed_sha256",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.AddField(
            model_name="approval",
            name="quorum",
            field=models.PositiveSmallIntegerField(db_default=1, default=1),
        ),
        migrations.AddField(
            model_name="approval",
            name="remind_every_s",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="approval",
            name="version",
            field=models.PositiveIntegerField(db_default=1, default=1),
        ),
        migrations.AddIndex(
            model_name="approval",
            index=models.Index(
                condition=models.Q(("status", "PENDING")), fields=["next_timer_at"], name="approval_timer"
            ),
        ),
        migrations.AddIndex(
            model_name="approval",
            index=models.Index(fields=["workspace", "-id"], name="approval_newest"),
        ),
        migrations.AddField(
            model_name="approvalcomment",
            name="approval",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="discussion",
                to="approvals_app.approval",
            ),
        ),
        migrations.AddField(
            model_name="approvalcomment",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="approvaldelegation",
            name="approval",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="delegations",
                to="approvals_app.approval",
            ),
        ),
        migrations.AddField(
            model_name="approvaldelegation",
            name="from_user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="approvaldelegation",
            name="to_user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="approvallevel",
            name="groups",
            field=models.ManyToManyField(related_name="+", to="auth.group"),
        ),
        migrations.AddField(
            model_name="approvallevel",
            name="workspace",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="approval_levels",
                to="accounts.workspace",
            ),
        ),
        migrations.AddField(
            model_name="approvalvote",
            name="approval",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="votes", to="approvals_app.approval"
            ),
        ),
        migrations.AddField(
            model_name="approvalvote",
            name="on_behalf_of",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="approvalvote",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="outofoffice",
            name="delegate",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="outofoffice",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="outofoffice",
            name="workspace",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.workspace"
            ),
        ),
        migrations.AddConstraint(
            model_name="approvaldelegation",
            constraint=models.UniqueConstraint(
                fields=("approval", "from_user", "to_user"), name="approval_delegation_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="approvallevel",
            constraint=models.UniqueConstraint(fields=("workspace", "name"), name="approval_level_once"),
        ),
        migrations.AddConstraint(
            model_name="approvalvote",
            constraint=models.UniqueConstraint(fields=("approval", "user"), name="approval_vote_once"),
        ),
        migrations.AddConstraint(
            model_name="approvalvote",
            constraint=models.UniqueConstraint(
                condition=models.Q(("on_behalf_of__isnull", False)),
                fields=("approval", "on_behalf_of"),
                name="approval_vote_once_for",
            ),
        ),
        migrations.AddIndex(
            model_name="outofoffice",
            index=models.Index(fields=["delegate", "workspace"], name="out_of_office_delegate"),
        ),
        migrations.AddConstraint(
            model_name="outofoffice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("ends_at__isnull", True), ("ends_at__gt", models.F("starts_at")), _connector="OR"
                ),
                name="out_of_office_ends_later",
            ),
        ),
        migrations.AddConstraint(
            model_name="outofoffice",
            constraint=models.CheckConstraint(
                condition=models.Q(("user", models.F("delegate")), _negated=True),
                name="out_of_office_names_another",
            ),
        ),
    ]

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import executions_app.models.executions
import executions_app.models.history
import workflow_service.engine.states

# Room in the pages of rows that are updated with every step, so that updates stay in the page.
ROOM = """
ALTER TABLE executions_app_execution SET (fillfactor = 70);
ALTER TABLE executions_app_blockexecution SET (fillfactor = 80);
ALTER TABLE executions_app_workerlease SET (fillfactor = 50);
"""
NO_ROOM = """
ALTER TABLE executions_app_execution RESET (fillfactor);
ALTER TABLE executions_app_blockexecution RESET (fillfactor);
ALTER TABLE executions_app_workerlease RESET (fillfactor);
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("accounts", "__first__"),
        ("templates_app", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="ContextValue",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "execution_id",
                        "key",
                        "seq",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("execution_id", models.BigIntegerField()),
                ("key", models.CharField(max_length=255)),
                ("seq", models.BigIntegerField()),
                ("value", models.JSONField()),
                ("block_execution_id", models.BigIntegerField()),
                ("superseded", models.BooleanField(db_default=False, default=False)),
            ],
        ),
        migrations.CreateModel(
            name="Execution",
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
                        default=executions_app.models.executions.new_execution_id,
                        editable=False,
                        max_length=40,
                        unique=True,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("STARTING", "STARTING"),
                            ("RUNNING", "RUNNING"),
                            ("WAITING_FOR_APPROVAL", "WAITING_FOR_APPROVAL"),
                            ("PAUSED", "PAUSED"),
                            ("RECOVERING", "RECOVERING"),
                            ("COMPLETED", "COMPLETED"),
                            ("FAILED", "FAILED"),
                            ("CANCELLED", "CANCELLED"),
                        ],
                        default=workflow_service.engine.states.ExecutionStatus["STARTING"],
                        max_length=24,
                    ),
                ),
                (
                    "priority",
                    models.CharField(
                        choices=[("high", "high"), ("normal", "normal"), ("low", "low")],
                        default=workflow_service.engine.states.Priority["NORMAL"],
                        max_length=8,
                    ),
                ),
                (
                    "door",
                    models.CharField(
                        choices=[("a", "templates API"), ("b", "workflows API")], default="a", max_length=1
                    ),
                ),
                ("event_seq", models.PositiveBigIntegerField(default=0)),
                ("context_seq", models.PositiveBigIntegerField(default=0)),
                ("active", models.IntegerField(default=0)),
                ("slots", models.IntegerField(default=0)),
                ("ready", models.IntegerField(default=0)),
                ("waiting_for_people", models.IntegerField(default=0)),
                ("total_blocks", models.IntegerField(default=0)),
                ("completed_blocks", models.IntegerField(default=0)),
                ("failed_blocks", models.IntegerField(default=0)),
                ("skipped_blocks", models.IntegerField(default=0)),
                ("failing", models.BooleanField(default=False)),
                ("unhandled_failures", models.IntegerField(default=0)),
                ("reached_end", models.BooleanField(default=False)),
                ("started_at", models.DateTimeField()),
                ("completed_at", models.DateTimeField(null=True)),
                ("error", models.JSONField(null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="executions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "template",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="executions",
                        to="templates_app.template",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="executions",
                        to="templates_app.templateversion",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="executions",
                        to="accounts.workspace",
                    ),
                ),
                ("active_ms", models.BigIntegerField(default=0)),
                ("active_since", models.DateTimeField(null=True)),
                ("compensating", models.BooleanField(db_default=False, default=False)),
                ("deadline_at", models.DateTimeField(null=True)),
                ("depth", models.SmallIntegerField(default=0)),
                ("generation", models.IntegerField(default=1)),
                ("held_back", models.BooleanField(default=False)),
                (
                    "parent",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="children",
                        to="executions_app.execution",
                    ),
                ),
                ("parent_block_execution_id", models.BigIntegerField(null=True)),
                ("recovery_point_at", models.DateTimeField(null=True)),
                ("timeout_ms", models.BigIntegerField(null=True)),
                ("anomaly_detected", models.BooleanField(db_default=False, default=False)),
                ("digested_generation", models.IntegerField(db_default=0, default=0)),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["workspace", "-id"], name="execution_by_workspace"),
                    models.Index(fields=["workspace", "status", "-id"], name="execution_by_status"),
                    models.Index(
                        condition=models.Q(("parent__isnull", False)),
                        fields=["parent"],
                        name="execution_by_parent",
                    ),
                    models.Index(
                        condition=models.Q(
                            ("parent__isnull", False),
                            models.Q(("status__in", ["COMPLETED", "FAILED", "CANCELLED"]), _negated=True),
                        ),
                        fields=["parent"],
                        name="execution_open_children",
                    ),
                    models.Index(
                        condition=models.Q(("deadline_at__isnull", False)),
                        fields=["deadline_at"],
                        name="execution_by_deadline",
                    ),
                    models.Index(
                        condition=models.Q(("completed_at__isnull", True)),
                        fields=["template", "id"],
                        name="execution_open",
                    ),
                    models.Index(
                        condition=models.Q(("held_back", True)),
                        fields=["template", "id"],
                        name="execution_held_back",
                    ),
                    models.Index(
                        condition=models.Q(
                            ("completed_at__isnull", False),
                            models.Q(("digested_generation", models.F("generation")), _negated=True),
                        ),
                        fields=["id"],
                        name="execution_undigested",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "status__in",
                                [
                                    "STARTING",
                                    "RUNNING",
                                    "WAITING_FOR_APPROVAL",
                                    "PAUSED",
                                    "RECOVERING",
                                    "COMPLETED",
                                    "FAILED",
                                    "CANCELLED",
                                ],
                            )
                        ),
                        name="execution_status_known",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("parent_block_execution_id__isnull", False)),
                        fields=("parent_block_execution_id",),
                        name="execution_once_per_parent_block",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ExecutionEvent",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "execution_id", "seq", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("execution_id", models.BigIntegerField()),
                ("seq", models.BigIntegerField()),
                ("type", models.CharField(max_length=40)),
                ("block_id", models.CharField(blank=True, max_length=1000)),
                ("block_execution_id", models.BigIntegerField(null=True)),
                ("data", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="WorkerLease",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("boot_id", models.UUIDField()),
                ("hostname", models.CharField(max_length=255)),
                ("pid", models.IntegerField()),
                ("started_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                (
                    "queues",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), blank=True, db_default=[], default=list, size=None
                    ),
                ),
            ],
            options={
                "ordering": ("started_at",),
            },
        ),
        migrations.CreateModel(
            name="ExecutionInput",
            fields=[
                (
                    "execution",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="given",
                        serialize=False,
                        to="executions_app.execution",
                    ),
                ),
                ("input", models.JSONField()),
                ("options", models.JSONField(default=dict)),
            ],
        ),
        migrations.CreateModel(
            name="BlockExecution",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("scope_id", models.BigIntegerField(default=0)),
                ("node", models.IntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("block", "Block"),
                            ("gate", "Gate"),
                            ("decide", "Decide"),
                            ("item", "Item"),
                            ("undo", "Undo"),
                        ],
                        default="block",
                        max_length=8,
                    ),
                ),
                ("block_id", models.CharField(max_length=1000)),
                ("item_index", models.IntegerField(default=0)),
                ("generation", models.IntegerField(default=1)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("PENDING", "PENDING"),
                            ("READY", "READY"),
                            ("QUEUED", "QUEUED"),
                            ("RUNNING", "RUNNING"),
                            ("WAITING", "WAITING"),
                            ("RETRYING", "RETRYING"),
                            ("COMPLETED", "COMPLETED"),
                            ("FAILED", "FAILED"),
                            ("REJECTED", "REJECTED"),
                            ("SKIPPED", "SKIPPED"),
                            ("CANCELLED", "CANCELLED"),
                        ],
                        max_length=12,
                    ),
                ),
                ("fence", models.BigIntegerField(default=0)),
                ("retries", models.IntegerField(default=0)),
                ("losses", models.IntegerField(default=0)),
                ("settled", models.BooleanField(default=False)),
                ("unrecorded_start", models.BooleanField(default=False)),
                ("holds_slot", models.BooleanField(default=False)),
                ("taken", models.IntegerField(default=0)),
                ("dead", models.IntegerField(default=0)),
                ("lost", models.IntegerField(default=0)),
                (
                    "origins",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), default=list, size=None
                    ),
                ),
                ("outcomes", models.JSONField(null=True)),
                ("queue", models.CharField(default="default", max_length=8)),
                ("agent_id", models.CharField(blank=True, max_length=100)),
                ("worker_id", models.UUIDField(null=True)),
                ("input", models.JSONField(null=True)),
                ("error", models.JSONField(null=True)),
                ("created_at", models.DateTimeField()),
                ("queued_at", models.DateTimeField(null=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("due_at", models.DateTimeField(null=True)),
                ("next_send_at", models.DateTimeField(null=True)),
                ("sends", models.IntegerField(default=0)),
                (
                    "execution",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="block_executions",
                        to="executions_app.execution",
                    ),
                ),
                ("item", models.JSONField(null=True)),
                ("output_extra", models.JSONField(null=True)),
                ("progress", models.JSONField(null=True)),
                ("recoveries", models.IntegerField(db_default=0, default=0)),
                (
                    "stand_in",
                    models.CharField(
                        blank=True,
                        choices=[("fallback", "Fallback"), ("default", "Default")],
                        db_default="",
                        default="",
                        max_length=8,
                    ),
                ),
                ("superseded", models.BooleanField(db_default=False, default=False)),
                ("variant", models.SmallIntegerField(db_default=0, default=0)),
                ("wait_key", models.CharField(blank=True, db_default="", default="", max_length=255)),
                (
                    "waits_for",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("person", "Person"),
                            ("timer", "Timer"),
                            ("signal", "Signal"),
                            ("callback", "Callback"),
                            ("child", "Child"),
                            ("items", "Items"),
                            ("agent", "Agent"),
                        ],
                        db_default="",
                        default="",
                        max_length=8,
                    ),
                ),
                ("hard_end_s", models.FloatField(null=True)),
                ("to_undo", models.BooleanField(db_default=False, default=False)),
            ],
            options={
                "ordering": ("id",),
                "indexes": [
                    models.Index(
                        condition=models.Q(
                            models.Q(
                                ("settled", False),
                                ("status__in", ["COMPLETED", "FAILED", "REJECTED", "SKIPPED", "CANCELLED"]),
                            ),
                            ("unrecorded_start", True),
                            _connector="OR",
                        ),
                        fields=["execution", "finished_at", "id"],
                        name="block_unsettled",
                    ),
                    models.Index(
                        condition=models.Q(("status", "READY")),
                        fields=["execution", "id"],
                        name="block_ready",
                    ),
                    models.Index(
                        condition=models.Q(("status", "QUEUED")), fields=["next_send_at"], name="block_queued"
                    ),
                    models.Index(
                        condition=models.Q(("status__in", ["RETRYING", "WAITING"])),
                        fields=["due_at"],
                        name="block_due",
                    ),
                    models.Index(
                        condition=models.Q(
                            ("status__in", ["RUNNING", "CANCELLED"]), ("worker_id__isnull", False)
                        ),
                        fields=["worker_id"],
                        name="block_at_worker",
                    ),
                    models.Index(
                        condition=models.Q(("superseded", True)),
                        fields=["execution"],
                        name="block_superseded",
                    ),
                    models.Index(
                        condition=models.Q(("status", "WAITING"), ("wait_key", "routing")),
                        fields=["execution"],
                        name="block_unasked",
                    ),
                    models.Index(
                        condition=models.Q(("progress__isnull", False), ("status", "RUNNING")),
                        fields=["execution"],
                        name="block_reporting",
                    ),
                    models.Index(
                        condition=models.Q(("status", "WAITING"), ("waits_for__in", ["signal", "child"])),
                        fields=["execution", "wait_key"],
                        name="block_waiting",
                    ),
                    models.Index(
                        condition=models.Q(("status", "WAITING"), ("waits_for", "agent")),
                        fields=["wait_key", "id"],
                        name="block_awaits_agent",
                    ),
                    models.Index(
                        condition=models.Q(("to_undo", True)),
                        fields=["execution", "finished_at", "id"],
                        name="block_to_undo",
                    ),
                    models.Index(
                        condition=models.Q(("kind", "item"), ("status", "PENDING")),
                        fields=["execution", "scope_id", "item_index"],
                        name="block_unreleased",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "status__in",
                                [
                                    "PENDING",
                                    "READY",
                                    "QUEUED",
                                    "RUNNING",
                                    "WAITING",
                                    "RETRYING",
                                    "COMPLETED",
                                    "FAILED",
                                    "REJECTED",
                                    "SKIPPED",
                                    "CANCELLED",
                                ],
                            )
                        ),
                        name="block_status_known",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("superseded", False)),
                        fields=("execution", "scope_id", "node", "item_index"),
                        name="block_execution_once",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ExecutionLog",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("execution_id", models.BigIntegerField()),
                ("block_execution_id", models.BigIntegerField(null=True)),
                ("block_id", models.CharField(blank=True, max_length=1000)),
                ("agent_id", models.CharField(blank=True, max_length=100)),
                (
                    "level",
                    models.SmallIntegerField(
                        choices=[
                            (10, "Debug"),
                            (20, "Info"),
                            (30, "Warning"),
                            (40, "Error"),
                            (50, "Critical"),
                        ]
                    ),
                ),
                ("message", models.TextField()),
                ("context", models.JSONField(default=dict)),
                ("stack_trace", models.TextField(blank=True)),
                ("created_at", models.DateTimeField()),
                (
                    "transaction",
                    models.BigIntegerField(
                        db_default=executions_app.models.history.WritingTransaction(), editable=False
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "indexes": [models.Index(fields=["execution_id", "id"], name="log_by_execution")],
            },
        ),
        migrations.CreateModel(
            name="StartRequest",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=255)),
                ("body_sha256", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "execution",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="executions_app.execution",
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
                "constraints": [
                    models.UniqueConstraint(fields=("workspace", "key"), name="start_request_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="SweeperState",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("last_tick_at", models.DateTimeField(null=True)),
                ("grace_until", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="sweeper_state_single")
                ],
            },
        ),
        migrations.CreateModel(
            name="BlockOutput",
            fields=[
                (
                    "block_execution",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="result",
                        serialize=False,
                        to="executions_app.blockexecution",
                    ),
                ),
                ("execution_id", models.BigIntegerField()),
                ("block_id", models.CharField(max_length=1000)),
                ("value", models.JSONField()),
                ("created_at", models.DateTimeField()),
                ("superseded", models.BooleanField(db_default=False, default=False)),
            ],
            options={
                "indexes": [models.Index(fields=["execution_id", "block_id"], name="output_by_block")],
            },
        ),
        migrations.CreateModel(
            name="Callback",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("attempt", models.IntegerField()),
                ("output", models.JSONField(null=True)),
                ("error", models.JSONField(null=True)),
                ("received_at", models.DateTimeField()),
                ("consumed_at", models.DateTimeField(null=True)),
                (
                    "block_execution",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="callbacks",
                        to="executions_app.blockexecution",
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "constraints": [
                    models.UniqueConstraint(fields=("block_execution", "attempt"), name="callback_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="ConcurrencyLimit",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(choices=[("agent", "Agent"), ("template", "Template")], max_length=8),
                ),
                ("key", models.CharField(max_length=100)),
                (
                    "max_concurrency",
                    models.PositiveIntegerField(
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(10000),
                        ]
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="concurrency_limits",
                        to="accounts.workspace",
                    ),
                ),
            ],
            options={
                "ordering": ("workspace", "kind", "key"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("workspace", "kind", "key"), name="concurrency_limit_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("max_concurrency__gte", 1)), name="concurrency_limit_positive"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AgentSlot",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.IntegerField()),
                ("block_execution_id", models.BigIntegerField(null=True)),
                ("fence", models.BigIntegerField(null=True)),
                ("worker_id", models.UUIDField(null=True)),
                ("reserved_until", models.DateTimeField(null=True)),
                (
                    "limit",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="slots",
                        to="executions_app.concurrencylimit",
                    ),
                ),
            ],
            options={
                "ordering": ("limit", "number"),
                "constraints": [models.UniqueConstraint(fields=("limit", "number"), name="agent_slot_once")],
            },
        ),
        migrations.CreateModel(
            name="RecoveryAction",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("block_id", models.CharField(max_length=1000)),
                ("attempt", models.IntegerField()),
                (
                    "error_class",
                    models.CharField(
                        choices=[
                            ("TRANSIENT", "TRANSIENT"),
                            ("AGENT_UNAVAILABLE", "AGENT_UNAVAILABLE"),
                            ("VALIDATION", "VALIDATION"),
                            ("AUTHORIZATION", "AUTHORIZATION"),
                            ("RESOURCE_NOT_FOUND", "RESOURCE_NOT_FOUND"),
                            ("CONFIGURATION", "CONFIGURATION"),
                            ("SYSTEM", "SYSTEM"),
                            ("ROUTING", "ROUTING"),
                            ("FINAL", "FINAL"),
                        ],
                        max_length=20,
                    ),
                ),
                ("error_type", models.CharField(max_length=40)),
                ("error_message", models.TextField(blank=True)),
                ("fingerprint", models.CharField(max_length=16)),
                (
                    "strategy",
                    models.CharField(
                        choices=[
                            ("retry", "retry"),
                            ("reassign", "reassign"),
                            ("queue", "queue"),
                            ("fallback", "fallback"),
                            ("skip", "skip"),
                            ("compensate", "compensate"),
                            ("escalate", "escalate"),
                            ("abort", "abort"),
                        ],
                        max_length=12,
                    ),
                ),
                ("reason", models.TextField()),
                ("agent_id", models.CharField(blank=True, max_length=100)),
                ("suggested_by", models.CharField(default="rules", max_length=8)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("superseded", "Superseded"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
                (
                    "block_execution",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="recovery_actions",
                        to="executions_app.blockexecution",
                    ),
                ),
                (
                    "execution",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="recovery_actions",
                        to="executions_app.execution",
                    ),
                ),
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
                ("ai_confidence", models.SmallIntegerField(null=True)),
                ("ai_model", models.CharField(blank=True, db_default="", max_length=200)),
                ("ai_reasoning", models.TextField(blank=True, db_default="")),
                (
                    "error_context",
                    models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict),
                ),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["execution", "id"], name="recovery_by_execution"),
                    models.Index(fields=["block_execution", "id"], name="recovery_by_block"),
                    models.Index(fields=["workspace", "-id"], name="recovery_by_workspace"),
                ],
            },
        ),
        migrations.CreateModel(
            name="RecoveryPoint",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("seq", models.BigIntegerField()),
                ("context_seq", models.BigIntegerField()),
                ("block_id", models.CharField(blank=True, max_length=1000)),
                (
                    "reason",
                    models.CharField(
                        choices=[("interval", "Interval"), ("block", "Block"), ("manual", "Manual")],
                        max_length=8,
                    ),
                ),
                ("created_at", models.DateTimeField()),
                (
                    "execution",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="recovery_points",
                        to="executions_app.execution",
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "indexes": [models.Index(fields=["execution", "id"], name="recovery_point_by_execution")],
            },
        ),
        migrations.CreateModel(
            name="RecoveryStatistic",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("error_class", models.CharField(max_length=20)),
                ("strategy", models.CharField(max_length=12)),
                ("succeeded", models.BigIntegerField(default=0)),
                ("failed", models.BigIntegerField(default=0)),
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
                    models.UniqueConstraint(
                        fields=("workspace", "error_class", "strategy"), name="recovery_statistic_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Scope",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("kind", models.CharField(choices=[("loop", "Loop"), ("map", "Map")], max_length=4)),
                ("loop", models.IntegerField(null=True)),
                ("block_execution_id", models.BigIntegerField(null=True)),
                ("parent_scope_id", models.BigIntegerField(default=0)),
                ("parent_index", models.IntegerField(default=0)),
                ("generation", models.IntegerField(default=1)),
                ("superseded", models.BooleanField(db_default=False, default=False)),
                ("ended", models.BooleanField(default=False)),
                ("closed", models.BooleanField(default=False)),
                ("round", models.IntegerField(default=-1)),
                ("first_round", models.IntegerField(default=0)),
                ("open", models.IntegerField(default=0)),
                ("broken", models.BooleanField(default=False)),
                (
                    "back",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), default=list, size=None
                    ),
                ),
                ("exits", models.JSONField(default=dict)),
                ("arrivals", models.JSONField(default=dict)),
                ("counts", models.JSONField(default=dict)),
                ("total", models.IntegerField(default=0)),
                ("completed_items", models.IntegerField(default=0)),
                ("failed_items", models.IntegerField(default=0)),
                ("created_at", models.DateTimeField()),
                (
                    "execution",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="scopes",
                        to="executions_app.execution",
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("closed", False), ("superseded", False)),
                        fields=["execution"],
                        name="scope_live",
                    ),
                    models.Index(
                        condition=models.Q(("block_execution_id__isnull", False)),
                        fields=["block_execution_id"],
                        name="scope_of_map",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Signal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                ("payload", models.JSONField(null=True)),
                ("dedup_key", models.CharField(blank=True, default="", max_length=255)),
                ("body_sha256", models.CharField(max_length=64)),
                ("received_at", models.DateTimeField()),
                ("consumed_at", models.DateTimeField(null=True)),
                ("consumed_by", models.BigIntegerField(null=True)),
                (
                    "execution",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="signals",
                        to="executions_app.execution",
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("consumed_by__isnull", True)),
                        fields=["execution", "name", "id"],
                        name="signal_kept",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("dedup_key", ""), _negated=True),
                        fields=("execution", "dedup_key"),
                        name="signal_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="MirrorCursor",
            fields=[
                ("execution_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("seq", models.PositiveBigIntegerField(default=0)),
                ("open", models.BooleanField(default=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("open", True)), fields=["execution_id"], name="mirror_open_cursor"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="MirrorState",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("known_up_to", models.BigIntegerField(default=0)),
                ("looked_back_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="mirror_state_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="RecoveryPattern",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("fingerprint", models.CharField(max_length=16)),
                ("error_class", models.CharField(max_length=20)),
                ("error_type", models.CharField(max_length=40)),
                ("example", models.TextField(blank=True)),
                ("strategy", models.CharField(max_length=12)),
                ("succeeded", models.BigIntegerField(default=0)),
                ("failed", models.BigIntegerField(default=0)),
                ("last_seen_at", models.DateTimeField()),
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
                "indexes": [
                    models.Index(fields=["workspace", "-last_seen_at"], name="recovery_pattern_newest"),
                    models.Index(fields=["last_seen_at"], name="recovery_pattern_oldest"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("workspace", "fingerprint", "strategy"), name="recovery_pattern_once"
                    )
                ],
            },
        ),
        migrations.RunSQL(ROOM, NO_ROOM),
    ]

"""Executions: one row a run, what it was started with, and by which request."""

from django.conf import settings
from django.db import models

from templates_app.models import Template, TemplateVersion
from workflow_service.accounts.models import Workspace
from workflow_service.engine.states import ExecutionStatus, Priority
from workflow_service.identifiers import new_id


def new_execution_id() -> str:
    return new_id("exec")


class Execution(models.Model):
    """One run of one template version. Narrow on purpose: it is updated with every settlement.

    ``active`` counts block rows that are neither pending nor settled; the run ends when it reaches zero.
    ``slots`` counts QUEUED and RUNNING rows. Both change only under this row's lock. ``generation`` counts restarts.
    ``active_ms`` is the time that the run was active before ``active_since``; its clock stops while it waits for
    people or is paused, and ``deadline_at`` is where it would reach ``timeout_ms``. ``held_back`` says that the run was
    accepted and begins when its template's limit allows. ``compensating`` says that nothing is under way but work that
    undoes. A sub-workflow's run has a ``parent`` and the block execution there that it works for.
    ``digested_generation`` is the generation in which it was last handed to those who learn from it (``digest.py``),
    ``anomaly_detected`` what they found.
    """

    public_id = models.CharField(max_length=40, unique=True, default=new_execution_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="executions")
    template = models.ForeignKey(Template, on_delete=models.PROTECT, related_name="executions")
    version = models.ForeignKey(TemplateVersion, on_delete=models.PROTECT, related_name="executions")
    status = models.CharField(
        max_length=24, choices=[(s.value, s.value) for s in ExecutionStatus], default=ExecutionStatus.STARTING
    )
    priority = models.CharField(
        max_length=8, choices=[(p.value, p.value) for p in Priority], default=Priority.NORMAL
    )
    door = models.CharField(max_length=1, choices=Template.Door.choices, default=Template.Door.A)
    parent = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        related_name="children",
        db_constraint=False,
        db_index=False,
    )
    parent_block_execution_id = models.BigIntegerField(null=True)
    depth = models.SmallIntegerField(default=0)
    generation = models.IntegerField(default=1)
    event_seq = models.PositiveBigIntegerField(default=0)
    context_seq = models.PositiveBigIntegerField(default=0)
    active = models.IntegerField(default=0)
    slots = models.IntegerField(default=0)
    ready = models.IntegerField(default=0)
    waiting_for_people = models.IntegerField(default=0)
    total_blocks = models.IntegerField(default=0)
    completed_blocks = models.IntegerField(default=0)
    failed_blocks = models.IntegerField(default=0)
    skipped_blocks = models.IntegerField(default=0)
    failing = models.BooleanField(default=False)
    compensating = models.BooleanField(default=False, db_default=False)
    unhandled_failures = models.IntegerField(default=0)
    reached_end = models.BooleanField(default=False)
    timeout_ms = models.BigIntegerField(null=True)
    active_ms = models.BigIntegerField(default=0)
    active_since = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)
    held_back = models.BooleanField(default=False)
    recovery_point_at = models.DateTimeField(null=True)
    digested_generation = models.IntegerField(default=0, db_default=0)
    anomaly_detected = models.BooleanField(default=False, db_default=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="executions", db_index=False
    )
    started_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True)
    error = models.JSONField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(status__in=[s.value for s in ExecutionStatus]),
                name="execution_status_known",
            ),
            models.UniqueConstraint(
                fields=("parent_block_execution_id",),
                condition=models.Q(parent_block_execution_id__isnull=False),
                name="execution_once_per_parent_block",
            ),
        )
        indexes = (
            models.Index(fields=("workspace", "-id"), name="execution_by_workspace"),
            models.Index(fields=("workspace", "status", "-id"), name="execution_by_status"),
            models.Index(
                fields=("parent",), condition=models.Q(parent__isnull=False), name="execution_by_parent"
            ),
            models.Index(
                fields=("parent",),
                condition=models.Q(parent__isnull=False)
                & ~models.Q(status__in=["COMPLETED", "FAILED", "CANCELLED"]),
                name="execution_open_children",
            ),
            models.Index(
                fields=("deadline_at",),
                condition=models.Q(deadline_at__isnull=False),
                name="execution_by_deadline",
            ),
            models.Index(
                fields=("template", "id"),
                condition=models.Q(completed_at__isnull=True),
                name="execution_open",
            ),
            models.Index(
                fields=("template", "id"), condition=models.Q(held_back=True), name="execution_held_back"
            ),
            models.Index(
                fields=("id",),
                condition=models.Q(completed_at__isnull=False)
                & ~models.Q(digested_generation=models.F("generation")),
                name="execution_undigested",
            ),
        )

    def __str__(self) -> str:
        return self.public_id


class ExecutionInput(models.Model):
    """What an execution was started with; written once."""

    execution = models.OneToOneField(
        Execution, on_delete=models.CASCADE, primary_key=True, related_name="given"
    )
    input = models.JSONField()
    options = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"input of execution {self.execution_id}"


class StartRequest(models.Model):
    """An ``Idempotency-Key`` of a start: the same key and body get the first answer again."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    body_sha256 = models.CharField(max_length=64)
    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("workspace", "key"), name="start_request_once"),)

    def __str__(self) -> str:
        return self.key

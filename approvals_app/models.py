"""Who must say yes: approvals, and who decided what."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from executions_app.models import BlockExecution, Execution
from workflow_service.accounts.models import Workspace
from workflow_service.engine.states import ApprovalStatus, HumanStepType
from workflow_service.identifiers import new_id


def new_approval_id() -> str:
    return new_id("appr")


class Approval(models.Model):
    """One question put to people about one block execution.

    It stands while the hash of the block's resolved input is the same: a re-run with the same input asks nobody
    again.
    """

    public_id = models.CharField(max_length=40, unique=True, default=new_approval_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="approvals")
    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="approvals")
    block_execution = models.ForeignKey(
        BlockExecution, on_delete=models.CASCADE, related_name="approvals", db_constraint=False
    )
    block_id = models.CharField(max_length=100)
    block_name = models.CharField(max_length=255, blank=True)
    type = models.CharField(max_length=16, choices=[(t.value, t.value) for t in HumanStepType])
    level = models.CharField(max_length=100, blank=True)
    assignees = ArrayField(models.CharField(max_length=150), default=list, blank=True)
    four_eyes = models.BooleanField(default=False)
    message = models.TextField(blank=True)
    input = models.JSONField(null=True)
    input_sha256 = models.CharField(max_length=64)
    response_schema = models.JSONField(null=True)
    status = models.CharField(
        max_length=12, choices=[(s.value, s.value) for s in ApprovalStatus], default=ApprovalStatus.PENDING
    )
    requested_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True)
    responded_at = models.DateTimeField(null=True)
    responded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    response = models.JSONField(null=True)
    comments = models.TextField(blank=True)
    source = models.CharField(max_length=16, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(status__in=[s.value for s in ApprovalStatus]), name="approval_status_known"
            ),
            models.UniqueConstraint(
                fields=("block_execution",),
                condition=models.Q(status="PENDING"),
                name="approval_pending_once",
            ),
        )
        indexes = (
            models.Index(
                fields=("workspace", "-id"), condition=models.Q(status="PENDING"), name="approval_pending"
            ),
        )

    def __str__(self) -> str:
        return f"{self.block_name or self.block_id} of {self.execution_id}"


class ApprovalEvent(models.Model):
    """One thing that happened to an approval, in order per workspace: what ``/ws/approvals`` replays by ``id``."""

    workspace_id = models.BigIntegerField()
    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="events")
    type = models.CharField(max_length=32)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("id",)
        indexes = (models.Index(fields=("workspace_id", "id"), name="approval_event_order"),)

    def __str__(self) -> str:
        return f"{self.id} {self.type}"

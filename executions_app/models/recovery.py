"""What a run can be restarted from, what was done about its failures, and how that went."""

from django.db import models

from executions_app.models.blocks import BlockExecution
from executions_app.models.executions import Execution
from workflow_service.accounts.models import Workspace
from workflow_service.engine.states import ErrorClass, RecoveryStrategy


class RecoveryPoint(models.Model):
    """A moment that a run can be restarted from: what was settled after event ``seq`` is taken back then.

    The context held the values up to ``context_seq``.
    """

    PREFIX = "rp_"

    class Reason(models.TextChoices):
        INTERVAL = "interval"
        BLOCK = "block"
        MANUAL = "manual"

    execution = models.ForeignKey(
        Execution,
        on_delete=models.CASCADE,
        related_name="recovery_points",
        db_constraint=False,
        db_index=False,
    )
    seq = models.BigIntegerField()
    context_seq = models.BigIntegerField()
    block_id = models.CharField(max_length=1_000, blank=True)
    reason = models.CharField(max_length=8, choices=Reason.choices)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("id",)
        indexes = (models.Index(fields=("execution", "id"), name="recovery_point_by_execution"),)

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return f"{self.PREFIX}{self.pk:03d}"


class RecoveryAction(models.Model):
    """One step up the recovery ladder for one block execution, written with its effect.

    ``attempt`` counts the steps for the row from 1. ``outcome`` is pending until the block settles or fails again, or
    a person puts another step in this one's place (``superseded``: it says nothing about the strategy). The error's
    class and type are empty where a person acted before the block had failed. ``agent_id`` is who is to do the work
    after it. ``suggested_by`` is ``rules``, ``history`` (what worked before put it first), ``ai`` or ``person``; who
    the person is, and why, is in ``reason``. ``ai_reasoning`` is what a model said for it, ``ai_confidence`` 0 to 100.
    ``error_context`` is what else is known of the error and the try.
    """

    class Outcome(models.TextChoices):
        PENDING = "pending"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        SUPERSEDED = "superseded"

    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    execution = models.ForeignKey(
        Execution,
        on_delete=models.CASCADE,
        related_name="recovery_actions",
        db_constraint=False,
        db_index=False,
    )
    block_execution = models.ForeignKey(
        BlockExecution,
        on_delete=models.CASCADE,
        related_name="recovery_actions",
        db_constraint=False,
        db_index=False,
    )
    block_id = models.CharField(max_length=1_000)
    attempt = models.IntegerField()
    error_class = models.CharField(max_length=20, choices=[(c.value, c.value) for c in ErrorClass])
    error_type = models.CharField(max_length=40)
    error_message = models.TextField(blank=True)
    fingerprint = models.CharField(max_length=16)
    strategy = models.CharField(max_length=12, choices=[(s.value, s.value) for s in RecoveryStrategy])
    reason = models.TextField()
    agent_id = models.CharField(max_length=100, blank=True)
    suggested_by = models.CharField(max_length=8, default="rules")
    ai_reasoning = models.TextField(blank=True, db_default="")
    ai_model = models.CharField(max_length=200, blank=True, db_default="")
    ai_confidence = models.SmallIntegerField(null=True)
    error_context = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.PENDING)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(fields=("execution", "id"), name="recovery_by_execution"),
            models.Index(fields=("block_execution", "id"), name="recovery_by_block"),
            models.Index(fields=("workspace", "-id"), name="recovery_by_workspace"),
        )

    def __str__(self) -> str:
        return f"{self.strategy} for {self.block_id}"

    @property
    def success(self) -> bool | None:
        """Whether the block completed after it; None while that is open, or nothing can come of it any more."""
        return {self.Outcome.SUCCEEDED: True, self.Outcome.FAILED: False}.get(self.Outcome(self.outcome))

    @property
    def recovery_duration_ms(self) -> int | None:
        """The milliseconds from the step to what came of it."""
        if self.finished_at is None:
            return None
        return round((self.finished_at - self.created_at).total_seconds() * 1_000)


class RecoveryStatistic(models.Model):
    """How often a strategy worked, and did not, for errors of one class in one workspace."""

    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    error_class = models.CharField(max_length=20)
    strategy = models.CharField(max_length=12)
    succeeded = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("workspace", "error_class", "strategy"), name="recovery_statistic_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.strategy} for {self.error_class}"


class RecoveryPattern(models.Model):
    """How often a strategy worked, and did not, for errors of one fingerprint; ``example`` is the latest message.

    What was not seen for long is forgotten (``recovery_patterns.py``), so a workspace whose errors differ each time
    does not fill the table.
    """

    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    fingerprint = models.CharField(max_length=16)
    error_class = models.CharField(max_length=20)
    error_type = models.CharField(max_length=40)
    example = models.TextField(blank=True)
    strategy = models.CharField(max_length=12)
    succeeded = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    last_seen_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("workspace", "fingerprint", "strategy"), name="recovery_pattern_once"
            ),
        )
        indexes = (
            models.Index(fields=("workspace", "-last_seen_at"), name="recovery_pattern_newest"),
            models.Index(fields=("last_seen_at",), name="recovery_pattern_oldest"),
        )

    def __str__(self) -> str:
        return f"{self.strategy} for {self.fingerprint}"

"""What comes to a run from outside while it is under way: signals, and agents that call back."""

from django.db import models

from executions_app.models.blocks import BlockExecution
from executions_app.models.executions import Execution


class Signal(models.Model):
    """One signal that a run was sent. It is kept, in the order of ``id``, until one block's wait consumes it.

    ``dedup_key`` is the sender's ``Idempotency-Key``: the same key and body are one signal.
    """

    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="signals", db_constraint=False, db_index=False
    )
    name = models.CharField(max_length=100)
    payload = models.JSONField(null=True)
    dedup_key = models.CharField(max_length=255, blank=True, default="")
    body_sha256 = models.CharField(max_length=64)
    received_at = models.DateTimeField()
    consumed_at = models.DateTimeField(null=True)
    consumed_by = models.BigIntegerField(null=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("execution", "dedup_key"), condition=~models.Q(dedup_key=""), name="signal_once"
            ),
        )
        indexes = (
            models.Index(
                fields=("execution", "name", "id"),
                condition=models.Q(consumed_by__isnull=True),
                name="signal_kept",
            ),
        )

    def __str__(self) -> str:
        return f"signal {self.name} to execution {self.execution_id}"

    @property
    def public_id(self) -> str:
        return f"signal_{self.pk:03d}"


class Callback(models.Model):
    """What an agent called back about one try of a block's work: its ``output``, or its ``error`` where it failed.

    ``attempt`` is how often the block was recovered before the try. One that came before its block waits is kept, and
    consumed when it does.
    """

    block_execution = models.ForeignKey(
        BlockExecution,
        on_delete=models.CASCADE,
        related_name="callbacks",
        db_constraint=False,
        db_index=False,
    )
    attempt = models.IntegerField()
    output = models.JSONField(null=True)
    error = models.JSONField(null=True)
    received_at = models.DateTimeField()
    consumed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("block_execution", "attempt"), name="callback_once"),)

    def __str__(self) -> str:
        return f"callback for block execution {self.block_execution_id}"

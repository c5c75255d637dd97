"""Concurrency limits, and who holds their places."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from templates_app.models import Template
from workflow_service.accounts.models import Workspace


class ConcurrencyLimit(models.Model):
    """How much of one kind may be at work at once in a workspace: blocks on an agent, or runs of a template.

    ``key`` is the agent's id or the template's public id. A sub-workflow's run is part of its parent's: it is
    neither counted nor held back.
    """

    class Kind(models.TextChoices):
        AGENT = "agent"
        TEMPLATE = "template"

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="concurrency_limits")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    key = models.CharField(max_length=100)
    max_concurrency = models.PositiveIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(10_000)]
    )

    class Meta:
        ordering = ("workspace", "kind", "key")
        constraints = (
            models.UniqueConstraint(fields=("workspace", "kind", "key"), name="concurrency_limit_once"),
            models.CheckConstraint(
                condition=models.Q(max_concurrency__gte=1), name="concurrency_limit_positive"
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.key}: {self.max_concurrency}"

    def clean(self) -> None:
        """Refuse a template that the workspace does not have: the limit would hold nothing back."""
        if self.kind == self.Kind.TEMPLATE and self.workspace_id is not None:
            known = Template.objects.filter(workspace_id=self.workspace_id, public_id=self.key)
            if not known.exists():
                raise ValidationError({"key": f"This workspace has no template '{self.key}'."})


class AgentSlot(models.Model):
    """One of the ``max_concurrency`` places of an agent's limit, and which claim of which block holds it.

    The holder is (``block_execution_id``, ``fence``), at work in the process ``worker_id``; it gives the slot back when
    its work has really stopped, whatever became of the block meanwhile. A slot with a block and without a worker is
    kept for that block until ``reserved_until``.
    """

    limit = models.ForeignKey(
        ConcurrencyLimit, on_delete=models.CASCADE, related_name="slots", db_index=False
    )
    number = models.IntegerField()
    block_execution_id = models.BigIntegerField(null=True)
    fence = models.BigIntegerField(null=True)
    worker_id = models.UUIDField(null=True)
    reserved_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ("limit", "number")
        constraints = (models.UniqueConstraint(fields=("limit", "number"), name="agent_slot_once"),)

    def __str__(self) -> str:
        return f"slot {self.number} of limit {self.limit_id}"

"""Block executions and what they gave: the nodes of a run's plan where they stand, their outputs, the context."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from executions_app.models.executions import Execution
from workflow_service.engine.graph import NodeKind
from workflow_service.engine.states import BlockStatus


def block_execution_id(pk: int) -> str:
    """Return a block execution's id as the API shows it."""
    return f"block_exec_{pk:03d}"


class BlockExecution(models.Model):
    """One node of the plan in one scope, for one round or item; a restart supersedes it by a row of its generation.

    ``scope_id`` 0 is the run itself; in a loop's scope ``item_index`` is the round, in a map's the item, whose value
    is ``item``. Rows appear when a node's first in-edge resolves. ``fence`` grows with every claim and every reset and
    decides whose result counts. ``outcomes`` keeps the node's resolved out-edges by edge index. ``settled`` says that
    its results were merged and routed. ``unrecorded_start`` says that its start still needs its event. ``holds_slot``
    says that it counts in the execution's ``slots``. ``waits_for`` says what a WAITING row waits for, and ``wait_key``
    which (a signal's name, a run's id, an agent's limit); ``output_extra`` is what people's answers add to the output
    of a block that then waits, or what a block made that waits for a review. ``progress`` is what the work last said
    of itself: {"percent", "message", "at"}.
    ``due_at`` is when a RETRYING row is tried again, when a WAITING row's timer fires, and when a RUNNING row has
    overrun its timeout for good. ``hard_end_s`` is how many seconds after its start that is, where it is known before
    a worker claims the row: with its ``input`` it makes the row prepared. A CANCELLED row keeps its ``worker_id``
    until that worker has let go. ``recoveries`` counts the recovery actions for the row, ``variant`` how often its
    work was exchanged for other work or other input, and ``stand_in`` says what came in place of its own work. A row
    of kind ``undo`` undoes the row whose negated id is its ``scope_id``; ``to_undo`` marks what a compensation under
    way has still to undo.
    """

    class Kind(models.TextChoices):
        BLOCK = NodeKind.BLOCK.value
        GATE = NodeKind.GATE.value
        DECIDE = NodeKind.DECIDE.value
        ITEM = "item"
        UNDO = "undo"

    class StandIn(models.TextChoices):
        FALLBACK = "fallback"
        DEFAULT = "default"

    class WaitsFor(models.TextChoices):
        PERSON = "person"
        TIMER = "timer"
        SIGNAL = "signal"
        CALLBACK = "callback"
        CHILD = "child"
        ITEMS = "items"
        AGENT = "agent"

    execution = models.ForeignKey(
        Execution,
        on_delete=models.CASCADE,
        related_name="block_executions",
        db_constraint=False,
        db_index=False,
    )
    scope_id = models.BigIntegerField(default=0)
    node = models.IntegerField()
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.BLOCK)
    block_id = models.CharField(max_length=1_000)
    item_index = models.IntegerField(default=0)
    generation = models.IntegerField(default=1)
    superseded = models.BooleanField(default=False, db_default=False)
    item = models.JSONField(null=True)
    waits_for = models.CharField(
        max_length=8, choices=WaitsFor.choices, blank=True, default="", db_default=""
    )
    wait_key = models.CharField(max_length=255, blank=True, default="", db_default="")
    output_extra = models.JSONField(null=True)
    progress = models.JSONField(null=True)
    recoveries = models.IntegerField(default=0, db_default=0)
    variant = models.SmallIntegerField(default=0, db_default=0)
    stand_in = models.CharField(max_length=8, choices=StandIn.choices, blank=True, default="", db_default="")
    status = models.CharField(max_length=12, choices=[(s.value, s.value) for s in BlockStatus])
    fence = models.BigIntegerField(default=0)
    retries = models.IntegerField(default=0)
    losses = models.IntegerField(default=0)
    settled = models.BooleanField(default=False)
    unrecorded_start = models.BooleanField(default=False)
    holds_slot = models.BooleanField(default=False)
    taken = models.IntegerField(default=0)
    dead = models.IntegerField(default=0)
    lost = models.IntegerField(default=0)
    origins = ArrayField(models.IntegerField(), default=list)
    outcomes = models.JSONField(null=True)
    queue = models.CharField(max_length=8, default="default")
    agent_id = models.CharField(max_length=100, blank=True)
    worker_id = models.UUIDField(null=True)
    input = models.JSONField(null=True)
    hard_end_s = models.FloatField(null=True)
    error = models.JSONField(null=True)
    created_at = models.DateTimeField()
    queued_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    next_send_at = models.DateTimeField(null=True)
    sends = models.IntegerField(default=0)
    to_undo = models.BooleanField(default=False, db_default=False)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("execution", "scope_id", "node", "item_index"),
                condition=models.Q(superseded=False),
                name="block_execution_once",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=[s.value for s in BlockStatus]), name="block_status_known"
            ),
        )
        indexes = (
            models.Index(
                fields=("execution", "finished_at", "id"),
                condition=models.Q(
                    settled=False, status__in=["COMPLETED", "FAILED", "REJECTED", "SKIPPED", "CANCELLED"]
                )
                | models.Q(unrecorded_start=True),
                name="block_unsettled",
            ),
            models.Index(fields=("execution", "id"), condition=models.Q(status="READY"), name="block_ready"),
            models.Index(fields=("next_send_at",), condition=models.Q(status="QUEUED"), name="block_queued"),
            models.Index(
                fields=("worker_id",),
                condition=models.Q(status__in=["RUNNING", "CANCELLED"], worker_id__isnull=False),
                name="block_at_worker",
            ),
            models.Index(fields=("execution",), condition=models.Q(superseded=True), name="block_superseded"),
            models.Index(
                fields=("execution",),
                condition=models.Q(status="WAITING", wait_key="routing"),
                name="block_unasked",
            ),
            models.Index(
                fields=("execution",),
                condition=models.Q(status="RUNNING", progress__isnull=False),
                name="block_reporting",
            ),
            models.Index(
                fields=("due_at",), condition=models.Q(status__in=["RETRYING", "WAITING"]), name="block_due"
            ),
            models.Index(
                fields=("execution", "wait_key"),
                condition=models.Q(status="WAITING", waits_for__in=["signal", "child"]),
                name="block_waiting",
            ),
            models.Index(
                fields=("wait_key", "id"),
                condition=models.Q(status="WAITING", waits_for="agent"),
                name="block_awaits_agent",
            ),
            models.Index(
                fields=("execution", "finished_at", "id"),
                condition=models.Q(to_undo=True),
                name="block_to_undo",
            ),
            models.Index(
                fields=("execution", "scope_id", "item_index"),
                condition=models.Q(status="PENDING", kind="item"),
                name="block_unreleased",
            ),
        )

    def __str__(self) -> str:
        return f"{self.block_id} of execution {self.execution_id}"

    @property
    def public_id(self) -> str:
        return block_execution_id(self.pk)


class BlockOutput(models.Model):
    """What a block execution gave; written once, with its completion. A restart that drops it says ``superseded``."""

    block_execution = models.OneToOneField(
        BlockExecution, on_delete=models.CASCADE, primary_key=True, related_name="result", db_constraint=False
    )
    execution_id = models.BigIntegerField()
    block_id = models.CharField(max_length=1_000)
    value = models.JSONField()
    superseded = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=("execution_id", "block_id"), name="output_by_block"),)

    def __str__(self) -> str:
        return f"output of {self.block_id}"


class ContextValue(models.Model):
    """One value of a run's context; of those not superseded, the row with the highest ``seq`` for a key is current."""

    pk = models.CompositePrimaryKey("execution_id", "key", "seq")
    execution_id = models.BigIntegerField()
    key = models.CharField(max_length=255)
    seq = models.BigIntegerField()
    value = models.JSONField()
    block_execution_id = models.BigIntegerField()
    superseded = models.BooleanField(default=False, db_default=False)

    def __str__(self) -> str:
        return self.key

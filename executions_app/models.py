"""What runs: executions, their block executions, and everything that is written down about them.

Child rows reference their execution without a database constraint: an insert must not take a foreign-key lock on
the execution row, which settlers lock with ``FOR NO KEY UPDATE SKIP LOCKED``. Status columns are written by
``transitions.py`` and the settlement alone.
"""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Func

from templates_app.models import Template, TemplateVersion
from workflow_service.accounts.models import Workspace
from workflow_service.engine.graph import NodeKind
from workflow_service.engine.states import (
    BlockStatus,
    ErrorClass,
    ExecutionStatus,
    Priority,
    RecoveryStrategy,
)
from workflow_service.identifiers import new_id


def new_execution_id() -> str:
    return new_id("exec")


def block_execution_id(pk: int) -> str:
    """Return a block execution's id as the API shows it."""
    return f"block_exec_{pk:03d}"


class WritingTransaction(Func):
    """The number of the transaction that writes: what commits later never has one below the snapshot's least."""

    template = "pg_current_xact_id()::text::bigint"
    output_field = models.BigIntegerField()


class Execution(models.Model):
    """One run of one template version. Narrow on purpose: it is updated with every settlement.

    ``active`` counts block rows that are neither pending nor settled; the run ends when it reaches zero.
    ``slots`` counts QUEUED and RUNNING rows. Both change only under this row's lock. ``generation`` counts restarts.
    ``active_ms`` is the time that the run was active before ``active_since``; its clock stops while it waits for
    people or is paused, and ``deadline_at`` is where it would reach ``timeout_ms``. ``held_back`` says that the run was
    accepted and begins when its template's limit allows. ``compensating`` says that nothing is under way but work that
    undoes. A sub-workflow's run has a ``parent`` and the block execution there that it works for.
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


class Scope(models.Model):
    """One live or ended instance of a loop or a map: the place in which its rounds or items have their rows.

    A loop's row appears with the first edge that leads to it; its ``round`` is -1 until it begins, and the block
    rows of a round bear it as ``item_index``. ``open`` counts the round's nodes and inner loops that are active,
    ``back`` lists the back edges taken, ``exits`` holds the outcomes of the round's exits by edge index, ``arrivals``
    the in-edges of entries that have resolved, ``counts`` how many blocks ended how in this round.
    ``parent_scope_id`` and ``parent_index`` are the place it stands in; 0 and 0 are the run itself. ``closed``: it has
    ended and nothing more arrives. Of a map, ``block_execution_id`` is the block's row, ``total`` the number of items,
    ``open`` how many of them are active, and ``broken`` says that too many failed.
    """

    class Kind(models.TextChoices):
        LOOP = "loop"
        MAP = "map"

    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="scopes", db_constraint=False, db_index=False
    )
    kind = models.CharField(max_length=4, choices=Kind.choices)
    loop = models.IntegerField(null=True)
    block_execution_id = models.BigIntegerField(null=True)
    parent_scope_id = models.BigIntegerField(default=0)
    parent_index = models.IntegerField(default=0)
    generation = models.IntegerField(default=1)
    superseded = models.BooleanField(default=False, db_default=False)
    ended = models.BooleanField(default=False)
    closed = models.BooleanField(default=False)
    round = models.IntegerField(default=-1)
    first_round = models.IntegerField(default=0)
    open = models.IntegerField(default=0)
    broken = models.BooleanField(default=False)
    back = ArrayField(models.IntegerField(), default=list)
    exits = models.JSONField(default=dict)
    arrivals = models.JSONField(default=dict)
    counts = models.JSONField(default=dict)
    total = models.IntegerField(default=0)
    completed_items = models.IntegerField(default=0)
    failed_items = models.IntegerField(default=0)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("id",)
        indexes = (
            models.Index(
                fields=("execution",),
                condition=models.Q(closed=False, superseded=False),
                name="scope_live",
            ),
            models.Index(
                fields=("block_execution_id",),
                condition=models.Q(block_execution_id__isnull=False),
                name="scope_of_map",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.pk} of execution {self.execution_id}"


class BlockExecution(models.Model):
    """One node of the plan in one scope, for one round or item; a restart supersedes it by a row of its generation.

    ``scope_id`` 0 is the run itself; in a loop's scope ``item_index`` is the round, in a map's the item, whose value
    is ``item``. Rows appear when a node's first in-edge resolves. ``fence`` grows with every claim and every reset and
    decides whose result counts. ``outcomes`` keeps the node's resolved out-edges by edge index. ``settled`` says that
    its results were merged and routed. ``unrecorded_start`` says that its start still needs its event. ``holds_slot``
    says that it counts in the execution's ``slots``. ``waits_for`` says what a WAITING row waits for, and ``wait_key``
    which (a signal's name, a run's id, an agent's limit); ``output_extra`` is what people's answers add to the output
    of a block that then waits. ``progress`` is what the work last said of itself: {"percent", "message", "at"}.
    ``due_at`` is when a RETRYING row is tried again, when a WAITING row's timer fires, and when a RUNNING row has
    overrun its timeout for good. A CANCELLED row keeps its ``worker_id`` until that worker has let go. ``recoveries``
    counts the recovery actions for the row, ``variant`` how often its work was exchanged for other work or other input,
    and ``stand_in`` says what came in place of its own work. A row of kind ``undo`` undoes the row whose negated id is
    its ``scope_id``; ``to_undo`` marks what a compensation under way has still to undo.
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
        )

    def __str__(self) -> str:
        return f"{self.block_id} of execution {self.execution_id}"

    @property
    def public_id(self) -> str:
        return block_execution_id(self.pk)


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


class ExecutionEvent(models.Model):
    """One fact of a run's history. ``seq`` is gapless per execution, given out under the execution's lock."""

    pk = models.CompositePrimaryKey("execution_id", "seq")
    execution_id = models.BigIntegerField()
    seq = models.BigIntegerField()
    type = models.CharField(max_length=40)
    block_id = models.CharField(max_length=1_000, blank=True)
    block_execution_id = models.BigIntegerField(null=True)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.seq} {self.type}"


class ExecutionLog(models.Model):
    """One log line of a run.

    Ids are given out before their transactions commit, several at a time; ``transaction`` is the number of the
    one that wrote the line, by which a reader knows that nothing older can come any more.
    """

    class Level(models.IntegerChoices):
        DEBUG = 10
        INFO = 20
        WARNING = 30
        ERROR = 40
        CRITICAL = 50

    execution_id = models.BigIntegerField()
    block_execution_id = models.BigIntegerField(null=True)
    block_id = models.CharField(max_length=1_000, blank=True)
    agent_id = models.CharField(max_length=100, blank=True)
    level = models.SmallIntegerField(choices=Level.choices)
    message = models.TextField()
    context = models.JSONField(default=dict)
    stack_trace = models.TextField(blank=True)
    created_at = models.DateTimeField()
    transaction = models.BigIntegerField(db_default=WritingTransaction(), editable=False)

    class Meta:
        ordering = ("id",)
        indexes = (models.Index(fields=("execution_id", "id"), name="log_by_execution"),)

    def __str__(self) -> str:
        return self.message


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

    ``attempt`` counts the steps for the row from 1. ``outcome`` is pending until the block settles or fails again.
    ``agent_id`` is who is to do the work after it. ``suggested_by`` is ``rules``, ``person`` or ``ai``.
    """

    class Outcome(models.TextChoices):
        PENDING = "pending"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

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


class WorkerLease(models.Model):
    """One worker process that is alive until ``expires_at``. ``boot_id`` is its parent's; a restart makes new ids."""

    id = models.UUIDField(primary_key=True)
    boot_id = models.UUIDField()
    hostname = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ("started_at",)

    def __str__(self) -> str:
        return f"{self.hostname} process {self.pid}"


class SweeperState(models.Model):
    """The sweeper's one row: when it last ran, and until when no lease may expire (after a gap)."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    last_tick_at = models.DateTimeField(null=True)
    grace_until = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(id=1), name="sweeper_state_single"),)

    def __str__(self) -> str:
        return f"swept at {self.last_tick_at}"

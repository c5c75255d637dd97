"""What runs: executions, their block executions, and everything that is written down about them.

Child rows reference their execution without a database constraint: an insert must not take a foreign-key lock on
the execution row, which settlers lock with ``FOR NO KEY UPDATE SKIP LOCKED``. Status columns are written by
``transitions.py`` and the settlement alone.
"""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from templates_app.models import Template, TemplateVersion
from workflow_service.accounts.models import Workspace
from workflow_service.engine.graph import NodeKind
from workflow_service.engine.states import BlockStatus, ExecutionStatus, Priority
from workflow_service.identifiers import new_id


def new_execution_id() -> str:
    return new_id("exec")


class Execution(models.Model):
    """One run of one template version. Narrow on purpose: it is updated with every settlement.

    ``active`` counts block rows that are neither pending nor settled; the run ends when it reaches zero.
    ``slots`` counts QUEUED and RUNNING rows. Both change only under this row's lock. ``generation`` counts restarts.
    ``active_ms`` is the time that the run was active before ``active_since``; its clock stops while it waits for
    people or is paused, and ``deadline_at`` is where it would reach ``timeout_ms``. A sub-workflow's run has a
    ``parent`` and the block execution there that it works for.
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
    unhandled_failures = models.IntegerField(default=0)
    reached_end = models.BooleanField(default=False)
    timeout_ms = models.BigIntegerField(null=True)
    active_ms = models.BigIntegerField(default=0)
    active_since = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)
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
        )
        indexes = (
            models.Index(fields=("workspace", "-id"), name="execution_by_workspace"),
            models.Index(fields=("workspace", "status", "-id"), name="execution_by_status"),
            models.Index(
                fields=("parent",), condition=models.Q(parent__isnull=False), name="execution_by_parent"
            ),
            models.Index(
                fields=("deadline_at",),
                condition=models.Q(deadline_at__isnull=False),
                name="execution_by_deadline",
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
    which (a signal's name). ``due_at`` is when a RETRYING row is tried again, when a WAITING row's timer fires, and
    when a RUNNING row has overrun its timeout for good. A CANCELLED row keeps its ``worker_id`` until that worker has
    let go.
    """

    class Kind(models.TextChoices):
        BLOCK = NodeKind.BLOCK.value
        GATE = NodeKind.GATE.value
        DECIDE = NodeKind.DECIDE.value
        ITEM = "item"

    class WaitsFor(models.TextChoices):
        PERSON = "person"
        TIMER = "timer"
        SIGNAL = "signal"
        CALLBACK = "callback"
        CHILD = "child"
        ITEMS = "items"

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
    progress = models.JSONField(null=True)
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
                fields=("due_at",), condition=models.Q(status__in=["RETRYING", "WAITING"]), name="block_due"
            ),
        )

    def __str__(self) -> str:
        return f"{self.block_id} of execution {self.execution_id}"

    @property
    def public_id(self) -> str:
        return f"block_exec_{self.pk:03d}"


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
    """One log line of a run."""

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

    class Meta:
        ordering = ("id",)
        indexes = (models.Index(fields=("execution_id", "id"), name="log_by_execution"),)

    def __str__(self) -> str:
        return self.message


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

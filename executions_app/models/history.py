"""What is written down about a run: its events and its log lines."""

from django.db import models
from django.db.models import Func


class WritingTransaction(Func):
    """The number of the transaction that writes: what commits later never has one below the snapshot's least."""

    template = "pg_current_xact_id()::text::bigint"
    output_field = models.BigIntegerField()


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

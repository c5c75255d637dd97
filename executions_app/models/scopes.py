"""Scopes: the loops and maps of a run."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from executions_app.models.executions import Execution


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

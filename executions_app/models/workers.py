"""Who is at work: the leases of worker processes, and the sweeper."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class WorkerLease(models.Model):
    """One worker process that is alive until ``expires_at``. ``boot_id`` is its parent's; a restart makes new ids.

    ``queues`` are those that it takes messages from; none where the process is no worker of Celery's.
    """

    id = models.UUIDField(primary_key=True)
    boot_id = models.UUIDField()
    hostname = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    queues = ArrayField(models.TextField(), default=list, db_default=[], blank=True)

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

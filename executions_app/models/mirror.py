"""How far the State Management Service has been told of each run."""

from django.db import models


class MirrorCursor(models.Model):
    """One run that is mirrored: ``seq`` is the last event that a message was made of. ``open``: more may come soon."""

    execution_id = models.BigIntegerField(primary_key=True)
    seq = models.PositiveBigIntegerField(default=0)
    open = models.BooleanField(default=True)

    class Meta:
        indexes = (
            models.Index(fields=["execution_id"], condition=models.Q(open=True), name="mirror_open_cursor"),
        )

    def __str__(self) -> str:
        return f"{self.execution_id} up to {self.seq}"


class MirrorState(models.Model):
    """One row: runs up to ``known_up_to`` have their cursor; ``looked_back_at`` is when ended runs were looked at."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    known_up_to = models.BigIntegerField(default=0)
    looked_back_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(id=1), name="mirror_state_once"),)

    def __str__(self) -> str:
        return f"runs up to {self.known_up_to}"

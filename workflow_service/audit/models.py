"""The audit trail: entries, the queue of those that are not sealed yet, and the chain of seals.

Entries and seals are only ever inserted; triggers refuse every other statement. They refer to what they are about by
plain ids, so that nothing that is deleted takes its history along.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Outcome(models.TextChoices):
    """What came of what was tried."""

    SUCCESS = "success"
    DENIED = "denied"
    FAILURE = "failure"


class AuditEntry(models.Model):
    """Who did what to what, when, from where, and what came of it.

    ``mac`` authenticates every other column but ``id`` with the key ``key_id``; the id is bound by the seal.
    """

    event_id = models.CharField(max_length=40)
    at = models.DateTimeField("time")
    workspace_id = models.BigIntegerField(null=True)
    actor_id = models.BigIntegerField(null=True)
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=60)
    target_type = models.CharField(max_length=40)
    target_id = models.CharField(max_length=200)
    outcome = models.CharField(max_length=8, choices=Outcome.choices)
    detail = models.JSONField()
    source = models.CharField(max_length=10)
    address = models.CharField(max_length=45)
    user_agent = models.CharField(max_length=300)
    request_id = models.CharField(max_length=64)
    api_key = models.CharField(max_length=16)
    format = models.SmallIntegerField()
    key_id = models.CharField(max_length=40)
    mac = models.BinaryField()

    class Meta:
        db_table = "audit_entry"
        ordering = ("-id",)
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        indexes = (
            models.Index(fields=("workspace_id", "-id"), name="audit_of_workspace"),
            models.Index(fields=("target_id", "-id"), name="audit_of_target"),
        )

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.target_id}"


class Unsealed(models.Model):
    """An entry that no seal covers yet; the trigger that queues it is of the transaction that wrote it."""

    entry_id = models.BigIntegerField(primary_key=True)

    class Meta:
        db_table = "audit_unsealed"

    def __str__(self) -> str:
        return str(self.entry_id)


class Seal(models.Model):
    """One link of the chain: the entries it covers, by id with their MACs, under a MAC that covers the link before.

    ``macs`` holds 32 bytes for each of ``entry_ids``; zeros stand for an entry that was gone before it was sealed.
    With ids and MACs here, the entries themselves can be removed one day and the chain still be verified.
    """

    number = models.BigIntegerField(unique=True)
    sealed_at = models.DateTimeField()
    entry_ids = ArrayField(models.BigIntegerField())
    macs = models.BinaryField()
    format = models.SmallIntegerField()
    key_id = models.CharField(max_length=40)
    mac = models.BinaryField()

    class Meta:
        db_table = "audit_seal"
        ordering = ("number",)
        indexes = (models.Index(fields=("sealed_at",), name="audit_seal_age"),)

    def __str__(self) -> str:
        return f"seal {self.number}"

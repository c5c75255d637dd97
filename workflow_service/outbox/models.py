"""Messages on their way out, and how the receivers are that they go to."""

import uuid

from django.db import models
from django.db.models.functions import Now


class Message(models.Model):
    """One message that a receiver does not have yet; it is deleted when it has.

    ``subject`` is what it is about: messages about one are sent in the order of their ids. ``message_id`` is told to
    the receiver and stays the same whenever it is sent again. DEAD ones are kept for people to look at.
    """

    class Status(models.TextChoices):
        PENDING = "PENDING"
        DEAD = "DEAD"

    channel = models.CharField(max_length=40)
    subject = models.CharField(max_length=100)
    message_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    body = models.JSONField()
    status = models.CharField(
        max_length=8, choices=Status.choices, default=Status.PENDING, db_default=Status.PENDING
    )
    attempts = models.IntegerField(default=0, db_default=0)
    due_at = models.DateTimeField(db_default=Now())
    leased_until = models.DateTimeField(null=True)
    lease = models.UUIDField(null=True)
    last_error = models.CharField(max_length=500, blank=True, db_default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = (
            models.Index(
                fields=["channel", "subject", "id"], condition=models.Q(status="PENDING"), name="outbox_order"
            ),
            models.Index(
                fields=["channel", "due_at"], condition=models.Q(status="PENDING"), name="outbox_due"
            ),
        )

    def __str__(self) -> str:
        return f"{self.channel} {self.subject} {self.message_id}"


class Channel(models.Model):
    """A receiver, and until when it is left alone because it did not answer."""

    name = models.CharField(max_length=40, primary_key=True)
    failures = models.IntegerField(default=0)
    paused_until = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=500, blank=True)
    last_success_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name

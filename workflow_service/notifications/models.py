"""Who was told what, how people want to be told, and the addresses of other services that are."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from workflow_service.accounts.models import Workspace
from workflow_service.identifiers import new_id


class Topic(models.TextChoices):
    """What people and webhooks are told about."""

    APPROVAL_REQUESTED = "approval_requested", "A question waits for an answer"
    APPROVAL_REMINDED = "approval_reminded", "A question still waits"
    APPROVAL_ESCALATED = "approval_escalated", "A question was escalated"
    APPROVAL_DELEGATED = "approval_delegated", "A question was handed over"
    APPROVAL_RESPONDED = "approval_responded", "A question was answered"
    APPROVAL_TIMEOUT = "approval_timeout", "A question is overdue"
    EXECUTION_COMPLETED = "execution_completed", "An execution completed"
    EXECUTION_FAILED = "execution_failed", "An execution failed"
    ANOMALY_DETECTED = "anomaly_detected", "An execution was unusual"
    EXPERIMENT_ENDED = "experiment_ended", "An experiment ended"


def new_endpoint_id() -> str:
    return new_id("whe")


def new_delivery_id() -> str:
    return new_id("whd")


class Notification(models.Model):
    """One thing that one person was told. ``key`` names what is told, so that nobody is told twice.

    ``shown``: it stands among the person's notifications here. One that is not was sent by e-mail alone.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    topic = models.CharField(max_length=32, choices=Topic.choices)
    key = models.CharField(max_length=200)
    title = models.CharField(max_length=300)
    text = models.TextField(blank=True)
    path = models.CharField(max_length=500, blank=True)
    shown = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now())
    read_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("user", "key"), name="notification_once"),)
        indexes = (
            models.Index(fields=("user", "-id"), condition=models.Q(shown=True), name="notification_newest"),
            models.Index(
                fields=("user",), condition=models.Q(shown=True, read_at=None), name="notification_unread"
            ),
            models.Index(fields=("created_at",), name="notification_age"),
        )

    def __str__(self) -> str:
        return self.title


class NotificationPreference(models.Model):
    """How one person wants to be told about one topic; without a row, by e-mail and in the service."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    topic = models.CharField(max_length=32, choices=Topic.choices)
    email = models.BooleanField(default=True)
    in_app = models.BooleanField(default=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("user", "topic"), name="notification_preference_once"),
        )

    def __str__(self) -> str:
        return f"{self.user_id} {self.topic}"


class WebhookEndpoint(models.Model):
    """One address of another service that is told about ``topics`` of a workspace.

    ``disabled_reason`` says why the service itself stopped calling it; empty where a person did.
    """

    public_id = models.CharField(max_length=40, unique=True, default=new_endpoint_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="webhook_endpoints")
    url = models.CharField("URL", max_length=2_000)
    description = models.CharField(max_length=200, blank=True)
    topics = ArrayField(models.CharField(max_length=32, choices=Topic.choices))
    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=300, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+", editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    last_success_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=("workspace", "-id"), name="webhook_endpoint_newest"),)

    def __str__(self) -> str:
        return self.url

    @property
    def channel(self) -> str:
        """The outbox's channel of this endpoint alone, so that none waits for another."""
        return f"webhook:{self.pk}"


class WebhookSecret(models.Model):
    """What one endpoint's messages are signed with, encrypted. One that was replaced signs on until ``expires_at``."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="secrets")
    key_id = models.CharField(max_length=40)
    sealed = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=("key_id", "id"), name="webhook_secret_key"),)

    def __str__(self) -> str:
        return f"secret of {self.endpoint_id}"


class WebhookDelivery(models.Model):
    """One message for one endpoint, and what came of it. ``message_id`` is its ``webhook-id``, the same whenever it is
    sent again.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "Waiting"
        DELIVERED = "delivered", "Delivered"
        FAILED = "failed", "Given up"

    public_id = models.CharField(max_length=40, unique=True, default=new_delivery_id, editable=False)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries")
    message_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    key = models.CharField(max_length=200)
    topic = models.CharField(max_length=32)
    body = models.JSONField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    attempts = models.IntegerField(default=0)
    last_status = models.SmallIntegerField("last answer", null=True)
    last_error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    last_tried_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "webhook deliveries"
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("endpoint", "key"), name="webhook_delivery_once"),)
        indexes = (
            models.Index(fields=("endpoint", "status", "-id"), name="webhook_delivery_newest"),
            models.Index(fields=("created_at",), name="webhook_delivery_age"),
        )

    def __str__(self) -> str:
        return f"{self.topic} {self.public_id}"

    @property
    def workspace_id(self) -> int:
        """The key of the endpoint's workspace."""
        return self.endpoint.workspace_id

    @property
    def webhook_id(self) -> str:
        """The id that the receiver knows the message by."""
        return f"msg_{self.message_id.hex}"

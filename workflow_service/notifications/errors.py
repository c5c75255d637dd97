"""What can be wrong with webhooks and notifications, one fact a class."""

from workflow_service.engine.errors import WorkflowError


class WebhookNotFound(WorkflowError):
    """No webhook endpoint of that id exists in the workspace."""

    code = "WEBHOOK_NOT_FOUND"


class DeliveryNotFound(WorkflowError):
    """The endpoint has no delivery of that id."""

    code = "DELIVERY_NOT_FOUND"


class WebhookInvalid(WorkflowError):
    """An endpoint cannot be kept as it was given; ``problems`` says why."""

    code = "WEBHOOK_INVALID"


class TooManyWebhooks(WorkflowError):
    """The workspace has as many endpoints as it may have."""

    code = "TOO_MANY_WEBHOOKS"


class WebhookDisabled(WorkflowError):
    """The endpoint is switched off: nothing is sent to it."""

    code = "WEBHOOK_DISABLED"


class NotificationNotFound(WorkflowError):
    """The user has no notification of that id."""

    code = "NOTIFICATION_NOT_FOUND"

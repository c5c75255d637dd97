"""Reads: one's own notifications, and a workspace's webhook endpoints with what was sent to them."""

from django.db.models import QuerySet

from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action
from workflow_service.accounts.selectors import list_workspaces_allowing
from workflow_service.notifications.errors import DeliveryNotFound, WebhookNotFound
from workflow_service.notifications.models import Notification, WebhookDelivery, WebhookEndpoint


def list_notifications(user: User) -> QuerySet[Notification]:
    """Return what the user was told here, newest first; of workspaces that they left, nothing."""
    workspaces = list_workspaces_allowing(user, Action.NOTIFICATION_READ)
    found = Notification.objects.filter(user=user, shown=True, workspace__in=workspaces)
    return found.select_related("workspace")


def count_unread(user: User) -> int:
    """Return how many of the user's notifications are not read."""
    return list_notifications(user).filter(read_at=None).count()


def list_endpoints(workspace: Workspace) -> QuerySet[WebhookEndpoint]:
    """Return the workspace's endpoints, newest first."""
    return WebhookEndpoint.objects.filter(workspace=workspace).select_related("created_by", "workspace")


def get_endpoint(workspace: Workspace, endpoint_id: str) -> WebhookEndpoint:
    """Return one endpoint of the workspace; raises ``WebhookNotFound``."""
    found = list_endpoints(workspace).filter(public_id=endpoint_id[:40]).first()
    if found is None:
        raise WebhookNotFound(f"there is no webhook endpoint '{endpoint_id[:40]}' in this workspace")
    return found


def list_deliveries(endpoint: WebhookEndpoint, status: str | None = None) -> QuerySet[WebhookDelivery]:
    """Return what was sent to an endpoint, newest first."""
    found = WebhookDelivery.objects.filter(endpoint=endpoint).order_by("-id")
    return found if status is None else found.filter(status=status)


def get_delivery(endpoint: WebhookEndpoint, delivery_id: str) -> WebhookDelivery:
    """Return one delivery; raises ``DeliveryNotFound``."""
    found = list_deliveries(endpoint).filter(public_id=delivery_id[:40]).first()
    if found is None:
        raise DeliveryNotFound(f"this endpoint has no delivery '{delivery_id[:40]}'")
    return found

"""How many notifications a user has not read, for the head of every page."""

from typing import Any

from django import template

from workflow_service.notifications.models import Notification

register = template.Library()


@register.simple_tag
def unread_notifications(user: Any) -> int:
    """Return how many of a member's notifications are not read: one query, of an index of those alone."""
    unread = Notification.objects.filter(user=user.pk, shown=True, read_at=None)
    return unread.filter(workspace__memberships__user=user.pk).values("pk").distinct().count()

"""What people do with their notifications: read them, and say how they want to be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from workflow_service.accounts.models import User
from workflow_service.notifications.errors import NotificationNotFound
from workflow_service.notifications.models import Notification, NotificationPreference, Topic
from workflow_service.notifications.selectors import list_notifications


@dataclass(frozen=True, slots=True)
class Preference:
    """How somebody wants to be told about a topic."""

    topic: Topic
    email: bool = True
    in_app: bool = True


def mark_read(*, user: User, ids: Sequence[int] | None = None) -> int:
    """Mark one's notifications as read, all of them where no ids are given; returns how many were not."""
    unread = list_notifications(user).filter(read_at=None)
    if ids is not None:
        unread = unread.filter(pk__in=ids)
    return unread.update(read_at=timezone.now())


def mark_one_read(*, user: User, notification_id: int) -> Notification:
    """Mark one notification as read and return it; raises ``NotificationNotFound``."""
    found = list_notifications(user).filter(pk=notification_id).first()
    if found is None:
        raise NotificationNotFound(f"you have no notification {notification_id}")
    mark_read(user=user, ids=[found.pk])
    found.refresh_from_db(fields=["read_at"])
    return found


def preferences_of(user: User) -> list[Preference]:
    """Return how the user wants to be told, topic by topic."""
    given = {row.topic: row for row in NotificationPreference.objects.filter(user=user)}
    return [
        Preference(topic, given[topic].email, given[topic].in_app) if topic in given else Preference(topic)
        for topic in Topic
    ]


@transaction.atomic
def set_preferences(*, user: User, wanted: Mapping[Topic, tuple[bool, bool]]) -> list[Preference]:
    """Say for some topics whether to be told by e-mail and in the service; returns what then holds for all."""
    NotificationPreference.objects.bulk_create(
        [
            NotificationPreference(user=user, topic=topic, email=email, in_app=in_app)
            for topic, (email, in_app) in wanted.items()
        ],
        update_conflicts=True,
        unique_fields=["user", "topic"],
        update_fields=["email", "in_app"],
    )
    return preferences_of(user)

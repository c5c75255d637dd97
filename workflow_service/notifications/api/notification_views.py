"""Notifications over HTTP: one's own, and nobody else's."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from workflow_service.accounts.api.requests import current_user
from workflow_service.api_serializers import QuerySerializer, page_of, read_body, read_query
from workflow_service.notifications.api.serializers import (
    NotificationList,
    NotificationPreferences,
    NotificationQuery,
    NotificationShape,
    ReadAnswer,
)
from workflow_service.notifications.models import Topic
from workflow_service.notifications.selectors import list_notifications
from workflow_service.notifications.services.inbox import (
    mark_one_read,
    mark_read,
    preferences_of,
    set_preferences,
)

TAGS = ["notifications"]


class NotificationsView(APIView):
    """What the caller was told."""

    @extend_schema(
        summary="List my notifications",
        operation_id="notifications_list",
        tags=TAGS,
        parameters=[NotificationQuery],
        responses=NotificationList,
    )
    def get(self, request: Request) -> Response:
        """List what you were told in the service, newest first, of all your workspaces."""
        query = read_query(NotificationQuery, request)
        mine = list_notifications(current_user(request))
        unread = mine.filter(read_at=None)
        rows = (unread if query.get("unread") else mine).order_by("-id")
        page = page_of("notifications", rows, query) | {"unread": unread.count()}
        return Response(NotificationList(page).data)


class ReadAllView(APIView):
    """All of the caller's notifications."""

    @extend_schema(
        summary="Mark all my notifications as read",
        operation_id="notifications_read_all",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=None,
        responses=ReadAnswer,
    )
    def post(self, request: Request) -> Response:
        """Mark all that you were told as read."""
        read_query(QuerySerializer, request)
        return Response(ReadAnswer({"marked": mark_read(user=current_user(request))}).data)


class ReadView(APIView):
    """One notification."""

    @extend_schema(
        summary="Mark a notification as read",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=None,
        responses=NotificationShape,
    )
    def post(self, request: Request, notification_id: int) -> Response:
        """Mark one as read; once is enough, twice is harmless."""
        read_query(QuerySerializer, request)
        marked = mark_one_read(user=current_user(request), notification_id=notification_id)
        return Response(NotificationShape(marked).data)


class PreferencesView(APIView):
    """How the caller is told."""

    @extend_schema(
        summary="Read how I am told",
        operation_id="notification_preferences_read",
        tags=TAGS,
        parameters=[QuerySerializer],
        responses=NotificationPreferences,
    )
    def get(self, request: Request) -> Response:
        """Say, topic by topic, whether you are told by e-mail and in the service."""
        read_query(QuerySerializer, request)
        return Response(NotificationPreferences({"preferences": preferences_of(current_user(request))}).data)

    @extend_schema(
        summary="Change how I am told",
        operation_id="notification_preferences_change",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=NotificationPreferences,
        responses=NotificationPreferences,
    )
    def put(self, request: Request) -> Response:
        """Change it for the topics that are named."""
        read_query(QuerySerializer, request)
        body = read_body(NotificationPreferences, request)
        wanted = {Topic(one["topic"]): (one["email"], one["in_app"]) for one in body["preferences"]}
        changed = set_preferences(user=current_user(request), wanted=wanted)
        return Response(NotificationPreferences({"preferences": changed}).data)

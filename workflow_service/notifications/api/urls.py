from django.urls import path

from workflow_service.notifications.api.notification_views import (
    NotificationsView,
    PreferencesView,
    ReadAllView,
    ReadView,
)
from workflow_service.notifications.api.webhook_views import (
    DeliveriesView,
    DeliveryReplayView,
    DeliveryView,
    WebhookReplayView,
    WebhookSecretView,
    WebhooksView,
    WebhookTestView,
    WebhookView,
)

WEBHOOK = "webhooks/<str:endpoint_id>"

urlpatterns = [
    path("notifications", NotificationsView.as_view(), name="notifications"),
    path("notifications/read", ReadAllView.as_view(), name="notifications-read"),
    path("notifications/preferences", PreferencesView.as_view(), name="notification-preferences"),
    path("notifications/<int:notification_id>/read", ReadView.as_view(), name="notification-read"),
    path("webhooks", WebhooksView.as_view(), name="webhooks"),
    path(WEBHOOK, WebhookView.as_view(), name="webhook"),
    path(f"{WEBHOOK}/secret", WebhookSecretView.as_view(), name="webhook-secret"),
    path(f"{WEBHOOK}/test", WebhookTestView.as_view(), name="webhook-test"),
    path(f"{WEBHOOK}/replay", WebhookReplayView.as_view(), name="webhook-replay"),
    path(f"{WEBHOOK}/deliveries", DeliveriesView.as_view(), name="webhook-deliveries"),
    path(f"{WEBHOOK}/deliveries/<str:delivery_id>", DeliveryView.as_view(), name="webhook-delivery"),
    path(
        f"{WEBHOOK}/deliveries/<str:delivery_id>/replay",
        DeliveryReplayView.as_view(),
        name="webhook-delivery-replay",
    ),
]

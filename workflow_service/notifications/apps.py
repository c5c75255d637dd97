from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "workflow_service.notifications"
    label = "notifications"
    verbose_name = "Notifications"

    def ready(self) -> None:
        from workflow_service.notifications.models import WebhookSecret
        from workflow_service.notifications.services.secrets import name_of
        from workflow_service.vault.services.rotation import register_sealed

        register_sealed(WebhookSecret, name_of)

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    name = "workflow_service.outbox"
    label = "outbox"
    verbose_name = "Outbox"

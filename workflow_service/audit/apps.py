from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "workflow_service.audit"
    label = "audit"
    verbose_name = "Audit"

    def ready(self) -> None:
        from workflow_service.audit import logins  # noqa: F401 - hears of sign-ins

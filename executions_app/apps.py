from django.apps import AppConfig


class ExecutionsAppConfig(AppConfig):
    name = "executions_app"
    verbose_name = "Executions"

    def ready(self) -> None:
        from executions_app import leases  # noqa: F401 - connects Celery's signals

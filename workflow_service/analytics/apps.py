from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    name = "workflow_service.analytics"
    verbose_name = "Analytics"

    def ready(self) -> None:
        from executions_app.digest import register_digester
        from workflow_service.analytics.counting import count_runs

        register_digester(count_runs)

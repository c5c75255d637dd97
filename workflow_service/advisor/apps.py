from django.apps import AppConfig


class AdvisorConfig(AppConfig):
    name = "workflow_service.advisor"
    verbose_name = "Advisor"

    def ready(self) -> None:
        """Have accepted suggestions measured by the runs that end."""
        from executions_app.digest import register_digester
        from workflow_service.advisor.services.measuring import measure_suggestions

        register_digester(measure_suggestions)

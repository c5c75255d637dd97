from django.apps import AppConfig


class WorkflowServiceConfig(AppConfig):
    name = "workflow_service"
    verbose_name = "Workflow Service"

    def ready(self) -> None:
        from workflow_service import api_schema  # noqa: F401 - makes its extensions known

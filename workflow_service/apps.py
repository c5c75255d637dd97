from django.apps import AppConfig


class WorkflowServiceConfig(AppConfig):
    name = "workflow_service"
    verbose_name = "Workflow Service"

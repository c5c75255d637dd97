from django.apps import AppConfig


class DecisionsConfig(AppConfig):
    name = "workflow_service.decisions"
    verbose_name = "Decisions"

from django.apps import AppConfig


class AdvisorConfig(AppConfig):
    name = "workflow_service.advisor"
    verbose_name = "Advisor"

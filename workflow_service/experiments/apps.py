from django.apps import AppConfig


class ExperimentsConfig(AppConfig):
    name = "workflow_service.experiments"
    verbose_name = "Experiments"

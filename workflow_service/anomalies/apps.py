from django.apps import AppConfig


class AnomaliesConfig(AppConfig):
    name = "workflow_service.anomalies"
    verbose_name = "Anomalies"

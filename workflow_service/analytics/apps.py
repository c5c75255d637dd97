from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    name = "workflow_service.analytics"
    verbose_name = "Analytics"

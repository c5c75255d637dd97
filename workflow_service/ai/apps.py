"""Language models, as an app: the runtime of LLM blocks is known once the service is loaded."""

from django.apps import AppConfig


class AiConfig(AppConfig):
    name = "workflow_service.ai"
    label = "ai"
    verbose_name = "Language models"

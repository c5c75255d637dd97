"""The tools as a Django app: it loads the use cases when a process starts."""

from django.apps import AppConfig

from workflow_service.agents.use_cases import load_use_cases
from workflow_service.settings.config import get_config


class AgentsConfig(AppConfig):
    name = "workflow_service.agents"
    label = "agents"

    def ready(self) -> None:
        load_use_cases(get_config().use_case_modules or ())

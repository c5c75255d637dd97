"""The tools, as an app: what use cases there are is known once the service is loaded, in every process alike."""

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import Tags, register

from workflow_service.agents.isolation import check_isolation
from workflow_service.agents.use_cases import load_use_cases


class AgentsConfig(AppConfig):
    name = "workflow_service.agents"
    label = "agents"

    def ready(self) -> None:
        """Register the use cases; raises ``UseCaseUnusable``: a module that is missing is found here, not in a run."""
        load_use_cases(settings.USE_CASE_MODULES)
        register(check_isolation, Tags.security, deploy=True)

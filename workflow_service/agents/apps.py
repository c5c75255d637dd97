from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "workflow_service.agents"
    label = "agents"

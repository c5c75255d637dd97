from django.apps import AppConfig


class DecisionsConfig(AppConfig):
    name = "workflow_service.decisions"
    verbose_name = "Decisions"

    def ready(self) -> None:
        from executions_app.deciders import register_decider
        from workflow_service.decisions.deciding import decide
        from workflow_service.decisions.recording import record_decision

        register_decider(decide, record_decision)

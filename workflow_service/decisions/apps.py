from django.apps import AppConfig


class DecisionsConfig(AppConfig):
    name = "workflow_service.decisions"
    verbose_name = "Decisions"

    def ready(self) -> None:
        from executions_app.deciders import register_decider
        from executions_app.insights import register_decision_entries
        from templates_app.finding_sources import register_finding_source
        from workflow_service.decisions.deciding import decide
        from workflow_service.decisions.findings import model_findings
        from workflow_service.decisions.recording import record_decision
        from workflow_service.decisions.selectors import decision_entries

        register_decider(decide, record_decision)
        register_decision_entries(decision_entries)
        register_finding_source(model_findings)

from django.apps import AppConfig


class AnomaliesConfig(AppConfig):
    name = "workflow_service.anomalies"
    verbose_name = "Anomalies"

    def ready(self) -> None:
        from executions_app.digest import register_digester
        from executions_app.handlers import register_sweep_step
        from executions_app.insights import register_failure_risk, register_page_part
        from workflow_service.anomalies.fitting import fit_what_is_due
        from workflow_service.anomalies.learning import learn_from_ended
        from workflow_service.anomalies.page_part import anomalies_on_page
        from workflow_service.anomalies.prediction import failure_risk
        from workflow_service.anomalies.watching import watch_running_blocks

        register_digester(learn_from_ended)
        register_sweep_step(watch_running_blocks)
        register_sweep_step(fit_what_is_due)
        register_failure_risk(failure_risk)
        register_page_part(anomalies_on_page)

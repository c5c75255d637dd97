from django.apps import AppConfig


class AnomaliesConfig(AppConfig):
    name = "workflow_service.anomalies"
    verbose_name = "Anomalies"

    def ready(self) -> None:
        from executions_app.digest import register_digester
        from workflow_service.anomalies.learning import learn_from_ended

        register_digester(learn_from_ended)

from django.apps import AppConfig


class ExperimentsConfig(AppConfig):
    name = "workflow_service.experiments"
    verbose_name = "Experiments"

    def ready(self) -> None:
        from executions_app.digest import register_digester
        from executions_app.handlers import register_sweep_step
        from executions_app.version_choice import register_version_chooser
        from workflow_service.experiments.choosing import choose_arm
        from workflow_service.experiments.outcomes import count_outcomes
        from workflow_service.experiments.services.evaluations import evaluate_experiments

        register_version_chooser(choose_arm)
        register_digester(count_outcomes)
        register_sweep_step(evaluate_experiments)

"""What can go wrong with experiments, as facts; ``workflow_service.api_errors`` alone knows HTTP."""

from workflow_service.engine.errors import WorkflowError


class ExperimentNotFound(WorkflowError):
    """There is no such experiment in this workspace."""

    code = "EXPERIMENT_NOT_FOUND"


class ExperimentInvalid(WorkflowError):
    """An experiment cannot be as it was described; ``problems`` says why."""

    code = "EXPERIMENT_INVALID"


class ExperimentStateForbids(WorkflowError):
    """What was asked cannot be done to an experiment that is a draft, running, or over."""

    code = "EXPERIMENT_STATE_FORBIDS"

    def __init__(self, experiment_id: str, status: str, wanted: str, mend: str = "") -> None:
        self.experiment_id, self.status = experiment_id, status
        message = f"experiment {experiment_id} is {status.replace('_', ' ')} and cannot be {wanted}"
        super().__init__(f"{message}; {mend}" if mend else message)


class TemplateUnderExperiment(WorkflowError):
    """Another experiment is running on the template: one at a time."""

    code = "TEMPLATE_UNDER_EXPERIMENT"

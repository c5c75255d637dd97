"""What can go wrong with executions, as facts; ``workflow_service.api_errors`` alone knows HTTP."""

from workflow_service.engine.errors import WorkflowError


class ExecutionNotFound(WorkflowError):
    """There is no such execution in this workspace."""

    code = "EXECUTION_NOT_FOUND"


class ExecutionEnded(WorkflowError):
    """A run has ended, and cannot be paused, resumed or cancelled any more."""

    code = "EXECUTION_ENDED"

    def __init__(self, execution_id: str, status: str, wanted: str) -> None:
        self.execution_id, self.status = execution_id, status
        super().__init__(f"execution {execution_id} is {status} and cannot be {wanted} any more")


class TemplateNotRunnable(WorkflowError):
    """A template cannot be run as it is; ``problems`` says why."""

    code = "TEMPLATE_NOT_RUNNABLE"


class InputRejected(WorkflowError):
    """The input does not fit the template's input schema."""

    code = "INPUT_REJECTED"

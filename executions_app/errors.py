"""What can go wrong with executions, as facts; ``workflow_service.api_errors`` alone knows HTTP."""

from workflow_service.engine.errors import WorkflowError


class ExecutionNotFound(WorkflowError):
    """There is no such execution in this workspace."""

    code = "EXECUTION_NOT_FOUND"


class ExecutionEnded(WorkflowError):
    """A run has ended, and nothing can be done to it any more."""

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


class IdempotencyConflict(WorkflowError):
    """The same Idempotency-Key was used before with another body."""

    code = "IDEMPOTENCY_CONFLICT"


class SignalRejected(WorkflowError):
    """A signal's name or payload is not one that can be kept."""

    code = "SIGNAL_REJECTED"


class TooManySignals(WorkflowError):
    """A run keeps as many signals that nobody waits for as it may."""

    code = "TOO_MANY_SIGNALS"


class CallbackNotFound(WorkflowError):
    """A token that was never given to an agent."""

    code = "CALLBACK_NOT_FOUND"


class CallbackRejected(WorkflowError):
    """What an agent called back cannot be kept."""

    code = "CALLBACK_REJECTED"


class CallbackUsed(WorkflowError):
    """A piece of work is called back about once."""

    code = "CALLBACK_USED"


class CallbackExpired(WorkflowError):
    """The block that an agent calls back about waits no more: it timed out, was cancelled or restarted, or is done."""

    code = "CALLBACK_EXPIRED"

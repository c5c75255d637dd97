"""What can go wrong with executions, as facts; ``workflow_service.api_errors`` alone knows HTTP."""

from workflow_service.engine.errors import WorkflowError


class ExecutionNotFound(WorkflowError):
    """There is no such execution in this workspace."""

    code = "EXECUTION_NOT_FOUND"


class TemplateNotRunnable(WorkflowError):
    """A template cannot be run as it is; ``problems`` says why."""

    code = "TEMPLATE_NOT_RUNNABLE"


class InputRejected(WorkflowError):
    """The input does not fit the template's input schema."""

    code = "INPUT_REJECTED"


class IdempotencyConflict(WorkflowError):
    """The same Idempotency-Key was used before with another body."""

    code = "IDEMPOTENCY_CONFLICT"


class ExecutionEnded(WorkflowError):
    """The run has ended: it takes nothing any more."""

    code = "EXECUTION_ENDED"


class SignalRejected(WorkflowError):
    """A signal's name or payload is not one that can be kept."""

    code = "SIGNAL_REJECTED"


class TooManySignals(WorkflowError):
    """A run keeps as many signals that nobody waits for as it may."""

    code = "TOO_MANY_SIGNALS"

"""What can go wrong with executions, as facts; ``workflow_service.api_errors`` alone knows HTTP."""

import difflib

from workflow_service.engine.errors import Problem, WorkflowError

SKIPPED_BY_ANOTHER = "have somebody else skip it, or answer its question"


class ExecutionNotFound(WorkflowError):
    """There is no such execution in this workspace."""

    code = "EXECUTION_NOT_FOUND"


class ExecutionEnded(WorkflowError):
    """A run has ended, and nothing can be done to it any more."""

    code = "EXECUTION_ENDED"

    def __init__(self, execution_id: str, status: str, wanted: str, mend: str = "") -> None:
        self.execution_id, self.status = execution_id, status
        message = f"execution {execution_id} is {status} and cannot be {wanted} any more"
        super().__init__(f"{message}; {mend}" if mend else message)


class TemplateNotRunnable(WorkflowError):
    """A template cannot be run as it is; ``problems`` says why."""

    code = "TEMPLATE_NOT_RUNNABLE"


class InputRejected(WorkflowError):
    """The input does not fit the template's input schema."""

    code = "INPUT_REJECTED"


class ExecutionUnderWay(WorkflowError):
    """A run is under way: it can be restarted once it has ended or is paused, or by force."""

    code = "EXECUTION_UNDER_WAY"

    def __init__(self, execution_id: str, status: str) -> None:
        super().__init__(
            f"execution {execution_id} is {status}: pause or cancel it first, or have an operator force its restart"
        )


class UnknownBlock(WorkflowError):
    """A command names a block that the run's workflow does not have."""

    code = "UNKNOWN_BLOCK"
    pointer = "/fromBlock"

    def __init__(self, block_id: str, known: list[str]) -> None:
        near = difflib.get_close_matches(block_id, known, n=1)
        mend = f"did you mean '{near[0]}'?" if near else f"its blocks are {', '.join(known[:20])}"
        message = f"the run has no block '{block_id[:100]}'"
        super().__init__(f"{message}; {mend}", [Problem(self.code, message, self.pointer, mend)])


class BlockNotFound(UnknownBlock):
    """There is no such block in the run's workflow."""

    code = "BLOCK_NOT_FOUND"
    pointer = ""


class BlockNotReached(WorkflowError):
    """A run cannot go on from a block that it has never run."""

    code = "BLOCK_NOT_REACHED"

    def __init__(self, block_id: str, *, skipped: bool) -> None:
        why = "was skipped: no way leads to it" if skipped else "has not been reached"
        super().__init__(f"block '{block_id}' {why}; restart from a block before it")


class NothingToRestart(WorkflowError):
    """No block of the run failed or was cancelled: say from which block it is to run again."""

    code = "NOTHING_TO_RESTART"

    def __init__(self, execution_id: str) -> None:
        super().__init__(
            f"nothing in execution {execution_id} failed or was cancelled; name a block in 'fromBlock'"
        )


class RestartFromParent(WorkflowError):
    """A sub-workflow's run is restarted through the run it works for."""

    code = "RESTART_FROM_PARENT"

    def __init__(self, execution_id: str) -> None:
        super().__init__(f"execution {execution_id} works for a block of another run: restart that one")


class RecoveryPointNotFound(WorkflowError):
    """There is no such recovery point of this run."""

    code = "RECOVERY_POINT_NOT_FOUND"


class TooManyRecoveryPoints(WorkflowError):
    """A run was given as many recovery points by hand as it may have."""

    code = "TOO_MANY_RECOVERY_POINTS"

    def __init__(self, execution_id: str, most: int) -> None:
        message = f"execution {execution_id} was given {most} recovery points already, and takes no more"
        mend = f"restart from one of those that GET /executions/{execution_id}/recovery-points lists"
        super().__init__(f"{message}; {mend}", [Problem(self.code, message, suggestion=mend)])


class UnknownAgent(WorkflowError):
    """A block was to go to an agent that its workspace does not have."""

    code = "UNKNOWN_AGENT"


class BlockStateForbids(WorkflowError):
    """A block is not in a state in which it can be retried, reassigned or skipped."""

    code = "BLOCK_STATE_FORBIDS"

    def __init__(
        self, block_id: str, execution_id: str, status: str, wanted: str, why: str, mend: str
    ) -> None:
        message = f"block '{block_id}' of {execution_id} is {status} and cannot be {wanted}: {why}"
        problem = Problem(self.code, message, suggestion=mend, blocks=(block_id,))
        super().__init__(f"{message}; {mend}", [problem])


class FourEyes(WorkflowError):
    """Whoever started a run passes nothing by that somebody else has to decide."""

    code = "FOUR_EYES"

    def __init__(
        self, block_id: str, execution_id: str, wanted: str = "skip it", mend: str = SKIPPED_BY_ANOTHER
    ) -> None:
        message = (
            f"you started {execution_id}, and its block '{block_id}' wants four eyes: you may not {wanted}"
        )
        super().__init__(
            f"{message}; {mend}", [Problem(self.code, message, suggestion=mend, blocks=(block_id,))]
        )


class OutputRejected(WorkflowError):
    """What a block is to give in place of its work cannot be kept."""

    code = "OUTPUT_REJECTED"


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

"""What can be wrong with an answer to an approval, one fact a class."""

from collections.abc import Sequence
from typing import ClassVar

from workflow_service.engine.errors import Problem, WorkflowError


class ApprovalNotFound(WorkflowError):
    """No approval of that id exists where the user may look."""

    code: ClassVar[str] = "APPROVAL_NOT_FOUND"

    def __init__(self, approval_id: str) -> None:
        super().__init__(f"there is no approval {approval_id}")
        self.approval_id = approval_id


class NotYourApproval(WorkflowError):
    """The approval is for other people, or for anybody but the one who started the run."""

    code: ClassVar[str] = "NOT_YOUR_APPROVAL"

    def __init__(self, approval_id: str, reason: str) -> None:
        super().__init__(f"you may not answer approval {approval_id}: {reason}")
        self.approval_id = approval_id


class AlreadyAnswered(WorkflowError):
    """The approval was answered otherwise; the standing decision holds."""

    code: ClassVar[str] = "ALREADY_ANSWERED"

    def __init__(self, approval_id: str, decided: str, responder: str) -> None:
        super().__init__(f"approval {approval_id} was already {decided} by {responder}; that decision stands")
        self.approval_id = approval_id


class ApprovalClosed(WorkflowError):
    """Nobody needs the answer any more: the run ended, or its block went on without it."""

    code: ClassVar[str] = "APPROVAL_CLOSED"

    def __init__(self, approval_id: str) -> None:
        super().__init__(f"approval {approval_id} is closed: its run ended or no longer waits for it")
        self.approval_id = approval_id


class ResponseInvalid(WorkflowError):
    """The response does not fit the schema that the workflow asks for; ``problems`` names each place."""

    code: ClassVar[str] = "RESPONSE_INVALID"

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        where = f" at {first.pointer}" if first.pointer else ""
        super().__init__(f"the response does not fit{where}: {first.message}", problems)


class UnknownDecision(WorkflowError):
    """A form was sent by a button that this question does not have."""

    code: ClassVar[str] = "UNKNOWN_DECISION"

    def __init__(self) -> None:
        super().__init__("the answer must be one of those that the form offers")


class AlreadyVoted(WorkflowError):
    """The user has answered otherwise, or somebody has answered for them; a vote is not taken back."""

    code: ClassVar[str] = "ALREADY_VOTED"

    def __init__(self, approval_id: str, reason: str) -> None:
        super().__init__(f"your answer to approval {approval_id} is given: {reason}")
        self.approval_id = approval_id


class OutOfDate(WorkflowError):
    """The approval has changed since the answerer looked at it."""

    code: ClassVar[str] = "APPROVAL_CHANGED"

    def __init__(self, approval_id: str, version: int, seen: int) -> None:
        super().__init__(
            f"approval {approval_id} has changed since you looked (version {seen}, now {version}): look again"
        )
        self.approval_id, self.version = approval_id, version


class CannotDelegate(WorkflowError):
    """The question cannot be handed on, or not to that person."""

    code: ClassVar[str] = "CANNOT_DELEGATE"


class LevelNotFound(WorkflowError):
    """The workspace gives that approval level no groups."""

    code: ClassVar[str] = "LEVEL_NOT_FOUND"


class LevelInvalid(WorkflowError):
    """A level needs a name, and groups that exist."""

    code: ClassVar[str] = "LEVEL_INVALID"


class AbsenceNotFound(WorkflowError):
    """There is no such absence for the user."""

    code: ClassVar[str] = "ABSENCE_NOT_FOUND"


class AbsenceInvalid(WorkflowError):
    """Nobody fit to answer is named, or the time is none."""

    code: ClassVar[str] = "ABSENCE_INVALID"

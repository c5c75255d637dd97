"""What can go wrong with decisions, as facts; ``workflow_service.api_errors`` alone knows HTTP."""

from collections.abc import Sequence

from workflow_service.engine.errors import Problem, WorkflowError


class DecisionNotFound(WorkflowError):
    """There is no such decision in this workspace."""

    code = "DECISION_NOT_FOUND"

    def __init__(self, decision_id: str) -> None:
        super().__init__(f"there is no decision '{decision_id[:100]}' here")


class ChoiceInvalid(WorkflowError):
    """What is called right is none of the ways that the decision could take."""

    code = "CHOICE_INVALID"

    def __init__(self, message: str, known: Sequence[str]) -> None:
        mend = f"its ways are {', '.join(known)}"
        super().__init__(f"{message}; {mend}", [Problem(self.code, message, "/choice", mend)])

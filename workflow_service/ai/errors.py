"""What can go wrong between a question and its answer. Each error says whether asking again may help."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from workflow_service.engine.errors import Problem, WorkflowError

UnavailableKind = Literal["RATE_LIMIT", "TIMEOUT", "NETWORK", "REFUSED"]


class NotConfigured(WorkflowError):
    """No provider of language models is set, or none has the model that is asked for."""

    code = "LLM_NOT_CONFIGURED"


class LlmUnavailable(WorkflowError):
    """No provider gave an answer. ``kind`` says what the last one did; ``retry_after_s`` what it asked for."""

    code = "LLM_UNAVAILABLE"

    def __init__(self, message: str, kind: UnavailableKind, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after_s = retry_after_s


class LlmAnswerInvalid(WorkflowError):
    """The model answered, and after every repair the answer is still not what it must be; ``problems`` says why."""

    code = "LLM_ANSWER_INVALID"

    def __init__(self, message: str, problems: Sequence[Problem] = (), text: str = "") -> None:
        super().__init__(message, problems)
        self.text = text


class BudgetExceeded(WorkflowError):
    """A call might cost more than a budget has left, so it was not made.

    ``ask`` and ``downgrade``: the budget's policy wants a person to decide, or a cheaper model to be tried.
    ``waiting``: others have reserved what is left, and may give some of it back.
    """

    code = "BUDGET_EXCEEDED"

    def __init__(
        self,
        message: str,
        *,
        scope: str,
        limit_usd: Decimal,
        ask: bool = False,
        downgrade: bool = False,
        waiting: bool = False,
    ) -> None:
        super().__init__(message)
        self.scope = scope
        self.limit_usd = limit_usd
        self.ask = ask
        self.downgrade = downgrade
        self.waiting = waiting


class PromptNotFound(WorkflowError):
    """There is no prompt of that name or version."""

    code = "PROMPT_NOT_FOUND"


class PromptInvalid(WorkflowError):
    """A prompt's file, or what it is filled with, is not as it must be."""

    code = "PROMPT_INVALID"


class BudgetsInvalid(WorkflowError):
    """Budgets cannot be set as asked; ``problems`` says which and why."""

    code = "BUDGETS_INVALID"

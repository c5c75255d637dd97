"""The root of every error the service raises on purpose.

A subclass states one fact, carries its ids as attributes and has a stable ``code`` that clients may rely on.
How an error becomes an HTTP answer is known to ``workflow_service.api_errors`` alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an input: where it is, what it is, and how to mend it.

    ``pointer`` is a JSON pointer into the document that was sent (``/blocks/3/dependencies/0``), or ``""``.
    ``line`` and ``column`` count from 1 and are set for text (DSL, conditions).
    """

    code: str
    message: str
    pointer: str = ""
    suggestion: str = ""
    line: int | None = None
    column: int | None = None
    blocks: tuple[str, ...] = ()


class WorkflowError(Exception):
    """Something about a workflow is not as it must be."""

    code: ClassVar[str] = "WORKFLOW_ERROR"

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)


class InvalidDefinition(WorkflowError):
    """A workflow definition cannot be understood; ``problems`` names each place and its mend."""

    code = "INVALID_DEFINITION"


class DslSyntaxError(InvalidDefinition):
    """A text is not in the workflow DSL; its one problem carries line, column and a hint."""

    code = "DSL_SYNTAX_ERROR"


class ExpressionError(WorkflowError):
    """A condition or a ``${...}`` cannot be compiled, or cannot be evaluated on the values at hand."""

    code = "EXPRESSION_ERROR"


class IllegalTransition(WorkflowError):
    """A status change that the engine's transition table does not list."""

    code = "ILLEGAL_TRANSITION"

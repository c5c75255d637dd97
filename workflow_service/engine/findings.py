"""What a check has to say about a definition: a problem with a severity.

An error stops publishing and starting; a warning and a piece of information do not. A finding is a
``Problem``, so that it can travel in an ``InvalidDefinition`` as it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from workflow_service.engine.errors import Problem, WorkflowError


class Severity(StrEnum):
    ERROR = "ERROR"
    WARNING = "WARNING"
    INFO = "INFO"


@dataclass(frozen=True, slots=True)
class Finding(Problem):
    severity: Severity = Severity.ERROR


def errors_in(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings that forbid running the definition."""
    return tuple(finding for finding in findings if finding.severity is Severity.ERROR)


def nearest_name_hint(name: str, known: Iterable[str]) -> str:
    """Return 'Did you mean …?' with the known name most like ``name``, or ``""`` where none is."""
    close = get_close_matches(name, known, n=1)
    return f"Did you mean '{close[0]}'?" if close else ""


def findings_from(error: WorkflowError, *, code: str, pointer: str, block_id: str) -> list[Finding]:
    """Return the problems of ``error`` as findings below ``pointer``, each with its line, column and hint."""
    return [
        Finding(
            code,
            problem.message,
            pointer=pointer + problem.pointer,
            suggestion=problem.suggestion,
            line=problem.line,
            column=problem.column,
            blocks=(block_id,),
        )
        for problem in error.problems or (Problem(code, error.message),)
    ]

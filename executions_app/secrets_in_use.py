"""Secrets where they are used: filled in just before the work, in this process's memory, and taken out of what it says.

The row's stored input keeps the references. A block that names no secret costs nothing here but a look at its template.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from django.core.exceptions import ImproperlyConfigured
from pydantic import JsonValue

from executions_app.agent_work import secrets_of_agent
from executions_app.progress import Claim
from executions_app.stand_ins import configuration_of
from executions_app.transaction import DATABASE_GONE
from workflow_service.agents.errors import ToolError, tool_error_from
from workflow_service.agents.invocation import LogLine, ProgressReport
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import ExpressionError, WorkflowError
from workflow_service.engine.interpolation import Template
from workflow_service.engine.plan import Node
from workflow_service.engine.scope import ValuesScope
from workflow_service.engine.secret_places import secret_places
from workflow_service.engine.states import ErrorType
from workflow_service.vault.redaction import Redactor, revealed
from workflow_service.vault.secrets import reveal, reveal_some


@dataclass(frozen=True, slots=True)
class SecretsInUse:
    """What a tool is given: the configuration with its secrets, and what keeps them out of what the tool says."""

    configuration: JsonObject
    redactor: Redactor
    workspace_id: int

    def fill(self, defaults: Template) -> JsonObject:
        """Return an agent's defaults with their secrets in place; raises ``ToolError``."""
        return _with_secrets(self.workspace_id, defaults, defaults.value, self.redactor)

    def conceal(self, value: str) -> None:
        """Keep a credential that was made of others out of what is said, too."""
        self.redactor.add(value)

    def log_to(self, log: Callable[[LogLine], None]) -> Callable[[LogLine], None]:
        """Return what a tool logs through."""
        return lambda line: log(_redacted_line(line, self.redactor) if self.redactor else line)

    def progress_to(self, progress: Callable[[ProgressReport], None]) -> Callable[[ProgressReport], None]:
        """Return what a tool reports its progress through."""
        return lambda report: progress(
            replace(report, message=self.redactor.text(report.message)) if self.redactor else report
        )

    def output(self, value: JsonValue) -> JsonValue:
        """Return an output as it may be kept."""
        return self.redactor.json(value) if self.redactor else value


@contextmanager
def secrets_in_use(claim: Claim, node: Node) -> Iterator[SecretsInUse]:
    """Fill in the secrets of a claim's work for as long as it runs; what it raises is freed of them.

    Raises ``ToolError``, also where a secret is not there or cannot be read; and what says that the database is gone.
    """
    redactor = Redactor()
    try:
        with revealed(redactor):
            yield SecretsInUse(_filled(claim, node, redactor), redactor, claim.workspace_id)
    except DATABASE_GONE:
        raise
    except Exception as error:
        known = tool_error_from(error)
        raise _redacted_error(known, redactor) if redactor else known from None


def redact_for(workspace_id: int, node: Node, agent_id: str, value: JsonValue) -> JsonValue:
    """Return ``value``, which came from a block's agent, without the secrets that the agent may have been given."""
    names = secrets_of_agent(workspace_id, agent_id).union(*(place.names for place in secret_places(node)))
    return Redactor(reveal_some(workspace_id, names).values()).json(value) if names else value


def _filled(claim: Claim, node: Node, redactor: Redactor) -> JsonObject:
    given = claim.input
    if not isinstance(given, dict):
        raise ToolError(ErrorType.CONFIGURATION_ERROR, f"block '{node.id}' has no tool to run")
    template = configuration_of(node, undoes=claim.undoes, stand_in=claim.stand_in)
    return given if template is None else _with_secrets(claim.workspace_id, template, given, redactor)


def _with_secrets(workspace_id: int, template: Template, given: JsonValue, redactor: Redactor) -> JsonObject:
    names = template.references.secrets
    if not names:
        assert isinstance(given, dict)  # noqa: S101 - a configuration
        return given
    try:
        values = reveal(workspace_id, names)
        redactor.add(*values.values())
        filled = template.fill_secrets(
            given, ValuesScope(secrets=values), lambda made: _conceal(made, redactor)
        )
    except ExpressionError as error:
        raise ToolError(ErrorType.CONFIGURATION_ERROR, f"configuration: {error.message}") from None
    except WorkflowError as error:
        raise ToolError(
            ErrorType.CONFIGURATION_ERROR, error.message, details={"reason": error.code}
        ) from None
    except ImproperlyConfigured as error:
        raise ToolError(ErrorType.CONFIGURATION_ERROR, str(error)) from None
    assert isinstance(filled, dict)  # noqa: S101 - as it was before
    return filled


def _conceal(made: JsonValue, redactor: Redactor) -> None:
    match made:
        case str():
            redactor.add(made)
        case list():
            for member in made:
                _conceal(member, redactor)
        case dict():
            for member in made.values():
                _conceal(member, redactor)


def _redacted_line(line: LogLine, redactor: Redactor) -> LogLine:
    return replace(
        line,
        message=redactor.text(line.message),
        context=_redacted_object(line.context, redactor),
        stack_trace=redactor.text(line.stack_trace),
    )


def _redacted_error(error: ToolError, redactor: Redactor) -> ToolError:
    problems = tuple(
        replace(
            problem,
            message=redactor.text(problem.message),
            pointer=redactor.text(problem.pointer),
            suggestion=redactor.text(problem.suggestion),
        )
        for problem in error.problems
    )
    return ToolError(
        error.error_type,
        redactor.text(error.message),
        details=_redacted_object(error.details, redactor),
        problems=problems,
        retryable=error.retryable,
        stack_trace=redactor.text(error.stack_trace),
    )


def _redacted_object(value: Mapping[str, JsonValue], redactor: Redactor) -> JsonObject:
    return {redactor.text(name): redactor.json(member) for name, member in value.items()}

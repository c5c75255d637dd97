"""Commands on runs as the admin gives them: which are offered when, and to whom.

They are those of the API, through the same services and the same table of permissions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from executions_app.models import Execution
from executions_app.services.control import (
    Asked,
    Standing,
    cancel_execution,
    pause_execution,
    resume_execution,
)
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action, allows, require
from workflow_service.engine.errors import WorkflowError
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ExecutionStatus

MAX_REASON = 1_000


class UnknownCommand(WorkflowError):
    """A form was sent that is none of the commands on a run."""

    code = "UNKNOWN_COMMAND"

    def __init__(self) -> None:
        super().__init__(f"the command must be one of {', '.join(COMMANDS)}")


@dataclass(frozen=True, slots=True)
class Command:
    """One command. ``done`` and ``stood`` say in words that it was carried out, or had been before."""

    give: Callable[[int, Asked], Standing]
    done: str
    stood: str
    asks_first: bool = False


COMMANDS: Mapping[str, Command] = {
    "pause": Command(pause_execution, "Paused: nothing more starts.", "It was paused already."),
    "resume": Command(resume_execution, "Resumed.", "It was not paused."),
    "cancel": Command(cancel_execution, "Cancelled.", "It was cancelled already.", asks_first=True),
}


def command_named(name: str) -> Command:
    """Return the command of that name; raises ``UnknownCommand``."""
    if name not in COMMANDS:
        raise UnknownCommand
    return COMMANDS[name]


def offered_commands(execution: Execution, user: User) -> tuple[str, ...]:
    """Return the names of the commands that would change something; whether the user may give any is not asked."""
    if execution.status in ENDED_EXECUTION_STATUSES:
        return ("restart",)
    if execution.status == ExecutionStatus.PAUSED:
        return ("restart", "resume", "cancel")
    forced = ("restart",) if may_override(user, execution) else ()
    return (*forced, "pause", "cancel")


def may_control(user: User, execution: Execution) -> bool:
    """Tell whether a user may give commands to a run; who started it may."""
    return allows(user, execution.workspace, Action.EXECUTION_CONTROL, owner_id=execution.created_by_id)


def may_override(user: User, execution: Execution) -> bool:
    """Tell whether a user may restart a run under way, and change its blocks."""
    return allows(user, execution.workspace, Action.EXECUTION_OVERRIDE, owner_id=execution.created_by_id)


def require_control(user: User, execution: Execution) -> None:
    """Raise ``Forbidden`` unless ``may_control`` says yes."""
    require(user, execution.workspace, Action.EXECUTION_CONTROL, owner_id=execution.created_by_id)


def kept_reason(reason: str) -> str:
    """Return a reason as it is kept: of at most 1,000 characters."""
    return reason.replace("\x00", "").strip()[:MAX_REASON]


def give_command(execution: Execution, command: Command, *, actor: User, reason: str) -> str:
    """Give a command and return in words what came of it; raises ``ExecutionEnded``."""
    standing = command.give(execution.pk, Asked.by(actor, kept_reason(reason)))
    return command.done if standing.changed else command.stood

"""A workspace with people in it, and runs that ask them."""

from dataclasses import dataclass
from typing import Any

from approvals_app.models import Approval
from executions_app.models import Execution
from tests.driver import run_until_quiet
from tests.factories import make_template, make_user, make_workspace, noop, start
from workflow_service.accounts.models import Role, User, Workspace


@dataclass(frozen=True)
class People:
    """Who is there: everybody but ``stranger`` is a member of ``workspace``."""

    workspace: Workspace
    alice: User
    bob: User
    developer: User
    admin: User
    stranger: User


def make_people() -> People:
    """Make two approvers, a developer and an admin of one workspace, and the admin of another."""
    workspace = make_workspace()
    return People(
        workspace=workspace,
        alice=make_user(workspace, Role.APPROVER, username="alice", is_staff=True),
        bob=make_user(workspace, Role.APPROVER, username="bob", is_staff=True),
        developer=make_user(workspace, Role.DEVELOPER, username="dora", is_staff=True),
        admin=make_user(workspace, Role.ADMIN, username="ada", is_staff=True),
        stranger=make_user(make_workspace(), Role.ADMIN, username="sam", is_staff=True),
    )


def asking(block_id: str = "load", *, fields: dict[str, Any] | None = None, **step: Any) -> dict[str, Any]:
    """Return a block that asks people before its work; ``step`` is its ``humanInLoop``."""
    block = noop(block_id, {"loaded": True}, name="Load rows", humanInLoop={"required": True, **step})
    return block | (fields or {})


def run_asking(people: People, *blocks: dict[str, Any], given: dict[str, Any] | None = None) -> Execution:
    """Start a run of these blocks in the people's workspace and let it go on until it asks."""
    template = make_template(list(blocks) or [asking()], workspace=people.workspace)
    return run_until_quiet(start(template, given))


def question_of(execution: Execution) -> Approval:
    """Return the approval that a run waits for."""
    return Approval.objects.select_related("execution").get(execution=execution, status="PENDING")

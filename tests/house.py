"""A workspace with one user of every role, and callers for them."""

from dataclasses import dataclass

from tests.caller import Caller
from tests.factories import make_user, make_workspace
from workflow_service.accounts.models import Role, User, Workspace


@dataclass(frozen=True)
class House:
    """``members`` has one user for each role."""

    workspace: Workspace
    members: dict[Role, User]

    @property
    def developer(self) -> User:
        return self.members[Role.DEVELOPER]

    def caller(self, role: Role = Role.DEVELOPER, /, **headers: str) -> Caller:
        return Caller(self.members[role], **headers)


def make_house() -> House:
    workspace = make_workspace()
    return House(workspace, {role: make_user(workspace, role) for role in Role})

"""Who may answer an approval.

An assignee is ``user:NAME``, ``role:ROLE``, ``group:NAME``, or a bare name that means any of the three.
Nobody listed means everybody who may answer approvals in the workspace. Who manages the members of a
workspace could make themselves an assignee, so they may answer in place of one. Four eyes binds everybody:
the starter of a run never decides in it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db.models import Q

from approvals_app.models import Approval
from workflow_service.accounts.models import Role, User, Workspace
from workflow_service.accounts.policies import Action, key_permits, permits
from workflow_service.accounts.selectors import list_memberships


@dataclass(frozen=True, slots=True)
class Responder:
    """A user as one workspace's approvals see them. ``names`` are the assignees that mean this user."""

    user_id: int
    names: frozenset[str]
    may_respond: bool
    may_stand_in: bool

    def objection(self, approval: Approval) -> str | None:
        """Return why this user may not answer ``approval`` (with its execution loaded), None if they may."""
        if not self.may_respond:
            return "your role here does not answer approvals"
        if approval.four_eyes and approval.execution.created_by_id == self.user_id:
            return "you started this run, so somebody else has to decide"
        if approval.assignees and not self.may_stand_in and self.names.isdisjoint(approval.assignees):
            return f"it is assigned to {', '.join(approval.assignees)}"
        return None

    def condition(self) -> Q:
        """Return ``objection`` as a condition on approvals of this workspace."""
        if not self.may_respond:
            return Q(pk__in=())
        mine = Q() if self.may_stand_in else Q(assignees=[]) | Q(assignees__overlap=sorted(self.names))
        return mine & ~Q(four_eyes=True, execution__created_by=self.user_id)


NOBODY = Responder(0, frozenset(), False, False)


def responder_of(user: User, workspace: Workspace) -> Responder:
    """Return ``user`` as the approvals of ``workspace`` see them."""
    return responders_of(user, [workspace]).get(workspace.pk, NOBODY)


def responders_of(user: User, workspaces: Iterable[Workspace] | None = None) -> Mapping[int, Responder]:
    """Return the user in each of their workspaces, by its key; in those of ``workspaces`` alone if given."""
    if not user.is_active:
        return {}
    wanted = None if workspaces is None else {workspace.pk for workspace in workspaces}
    groups = tuple(user.groups.values_list("name", flat=True))
    return {
        workspace.pk: Responder(
            user_id=user.pk,
            names=_names(user, roles=roles, groups=groups),
            may_respond=_may(user, workspace, roles, Action.APPROVAL_RESPOND),
            may_stand_in=_may(user, workspace, roles, Action.MEMBER_MANAGE),
        )
        for workspace, roles in list_memberships(user)
        if wanted is None or workspace.pk in wanted
    }


def _may(user: User, workspace: Workspace, roles: Iterable[Role], action: Action) -> bool:
    return permits(roles, action) and key_permits(user, workspace, action)


def _names(user: User, *, roles: Iterable[str], groups: Iterable[str]) -> frozenset[str]:
    users = (user.get_username(), user.public_id)
    named = (("user", users), ("role", [str(role) for role in roles]), ("group", groups))
    return frozenset(text for kind, names in named for name in names for text in (name, f"{kind}:{name}"))

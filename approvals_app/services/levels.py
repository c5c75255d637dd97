"""Writes: which groups a workspace's approval levels stand for.

A question is put to those who are in the groups at the moment: that is what a change here means for open ones. Which
groups it names is settled when it is asked.
"""

from collections.abc import Collection

from django.contrib.auth.models import Group
from django.db import transaction

from approvals_app.errors import LevelInvalid, LevelNotFound
from approvals_app.models import ApprovalLevel
from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.accounts.recording import record_by

MAX_NAME = 100


def set_level(*, workspace: Workspace, actor: User, name: str, groups: Collection[str]) -> ApprovalLevel:
    """Let the level ``name`` stand for these groups and no others, and return it.

    Raises ``Forbidden``, and ``LevelInvalid`` for a group that has no member in the workspace.
    """
    require(actor, workspace, Action.MEMBER_MANAGE)
    if not name.strip() or len(name) > MAX_NAME or "\x00" in name:
        raise LevelInvalid(f"a level has a name of 1 to {MAX_NAME} characters")
    wanted = {group for group in groups if "\x00" not in group}
    # Another workspace's groups are never told apart from ones that do not exist.
    found = list(Group.objects.filter(name__in=wanted, user__workspaces=workspace).distinct())
    unknown = sorted(set(groups) - {group.name for group in found})
    if unknown:
        raise LevelInvalid(f"there is no group '{unknown[0][:150]}' with a member in this workspace")
    if not found:
        raise LevelInvalid("a level stands for one group at least; delete it if it shall stand for none")
    with transaction.atomic():
        level, _ = ApprovalLevel.objects.select_for_update().get_or_create(workspace=workspace, name=name)
        level.groups.set(found)
        names = sorted(group.name for group in found)
        record_by(actor, "level.set", workspace, "approval_level", name, groups=names)
    return level


def delete_level(*, workspace: Workspace, actor: User, name: str) -> None:
    """Forget a level: who is asked for it from now on is every approver. Raises ``Forbidden``, ``LevelNotFound``."""
    require(actor, workspace, Action.MEMBER_MANAGE)
    level = get_level(workspace, name)
    with transaction.atomic():
        level.delete()
        record_by(actor, "level.delete", workspace, "approval_level", name)


def get_level(workspace: Workspace, name: str) -> ApprovalLevel:
    """Return a level of the workspace; raises ``LevelNotFound``."""
    named = ApprovalLevel.objects.filter(workspace=workspace, name=name.replace("\x00", ""))
    level = named.prefetch_related("groups").first()
    if level is None:
        raise LevelNotFound(f"the workspace has no approval level '{name[:MAX_NAME]}'")
    return level

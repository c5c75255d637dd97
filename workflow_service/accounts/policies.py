"""Who may do what: one table of role and action, and the only functions that read it.

Roles are given per workspace by memberships. Whoever made a thing may do more to it than to others' things
(document A section 11.2 for templates; a starter controls its own run), and a template may be shared with members
whose roles give less (document B section 9.1). An API key narrows its user to one workspace and to the scopes it was
given. What is not listed here is denied, to superusers too.
"""

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

from workflow_service.accounts.errors import Forbidden
from workflow_service.accounts.models import ApiKey, Membership, Role, User, Workspace
from workflow_service.audit.origin import was_denied


class Action(StrEnum):
    """Everything that is permitted or denied. The values are also the scopes of API keys."""

    TEMPLATE_READ = "template:read"
    TEMPLATE_CREATE = "template:create"
    TEMPLATE_UPDATE = "template:update"
    TEMPLATE_ARCHIVE = "template:archive"
    TEMPLATE_SHARE = "template:share"
    TEMPLATE_TRANSFER = "template:transfer"
    EXECUTION_READ = "execution:read"
    EXECUTION_START = "execution:start"
    EXECUTION_CONTROL = "execution:control"
    EXECUTION_OVERRIDE = "execution:override"
    EXECUTION_SIGNAL = "execution:signal"
    ARTIFACT_READ = "artifact:read"
    ARTIFACT_UPLOAD = "artifact:upload"
    ARTIFACT_DELETE = "artifact:delete"
    APPROVAL_READ = "approval:read"
    APPROVAL_READ_ALL = "approval:read_all"
    APPROVAL_RESPOND = "approval:respond"
    SECRET_READ = "secret:read"  # noqa: S105 - the name of an action
    SECRET_CREATE = "secret:create"  # noqa: S105 - the name of an action
    SECRET_MANAGE = "secret:manage"  # noqa: S105 - the name of an action
    AGENT_READ = "agent:read"
    AGENT_REGISTER = "agent:register"
    AGENT_MANAGE = "agent:manage"
    AGENT_HEARTBEAT = "agent:heartbeat"
    NOTIFICATION_READ = "notification:read"
    WEBHOOK_READ = "webhook:read"
    WEBHOOK_MANAGE = "webhook:manage"
    OPERATIONS_VIEW = "operations:view"
    USAGE_READ = "usage:read"
    BUDGET_MANAGE = "budget:manage"
    MEMBER_MANAGE = "member:manage"
    KEY_CREATE = "key:create"
    KEY_MANAGE = "key:manage"
    AUDIT_READ = "audit:read"


READ = frozenset(
    {
        Action.TEMPLATE_READ,
        Action.EXECUTION_READ,
        Action.ARTIFACT_READ,
        Action.APPROVAL_READ,
        Action.AGENT_READ,
        Action.NOTIFICATION_READ,
    }
)

ROLE_ACTIONS: Mapping[Role, frozenset[Action]] = {
    Role.ADMIN: frozenset(Action),
    Role.DEVELOPER: READ
    | {
        Action.TEMPLATE_CREATE,
        Action.EXECUTION_START,
        Action.AGENT_REGISTER,
        Action.AGENT_HEARTBEAT,
        Action.ARTIFACT_UPLOAD,
        Action.USAGE_READ,
        Action.KEY_CREATE,
        Action.SECRET_READ,
        Action.SECRET_CREATE,
    },
    Role.OPERATOR: READ
    | {
        Action.EXECUTION_START,
        Action.EXECUTION_CONTROL,
        Action.EXECUTION_OVERRIDE,
        Action.EXECUTION_SIGNAL,
        Action.ARTIFACT_UPLOAD,
        Action.APPROVAL_READ_ALL,
        Action.SECRET_READ,
        Action.AGENT_REGISTER,
        Action.AGENT_MANAGE,
        Action.AGENT_HEARTBEAT,
        Action.WEBHOOK_READ,
        Action.WEBHOOK_MANAGE,
        Action.OPERATIONS_VIEW,
        Action.USAGE_READ,
        Action.KEY_CREATE,
    },
    Role.APPROVER: READ | {Action.APPROVAL_RESPOND},
    Role.VIEWER: READ,
}

# What a role may do beyond that to things its bearer made: its own templates, the runs it started.
OWN_ACTIONS: Mapping[Role, frozenset[Action]] = {
    Role.ADMIN: frozenset(),
    Role.DEVELOPER: frozenset(
        {
            Action.TEMPLATE_UPDATE,
            Action.TEMPLATE_ARCHIVE,
            Action.TEMPLATE_SHARE,
            Action.TEMPLATE_TRANSFER,
            Action.EXECUTION_CONTROL,
            Action.EXECUTION_SIGNAL,
            Action.ARTIFACT_DELETE,
            Action.SECRET_MANAGE,
            Action.AGENT_MANAGE,
        }
    ),
    # Whoever was let start a run controls it, whatever their role: a template may be shared with them for that.
    Role.OPERATOR: frozenset({Action.EXECUTION_CONTROL, Action.EXECUTION_SIGNAL, Action.ARTIFACT_DELETE}),
    Role.APPROVER: frozenset({Action.EXECUTION_CONTROL, Action.EXECUTION_SIGNAL}),
    Role.VIEWER: frozenset({Action.EXECUTION_CONTROL, Action.EXECUTION_SIGNAL}),
}


class ShareRight(StrEnum):
    """The rights on one template that may be given to a member or a group: document B's six permissions."""

    READ = "workflow:read"
    CREATE = "workflow:create"
    UPDATE = "workflow:update"
    DELETE = "workflow:delete"
    EXECUTE = "workflow:execute"
    ADMIN = "workflow:admin"


# What each lets its holder do to that template. CREATE: make others from it. Giving it away stays with its owner.
SHARE_ACTIONS: Mapping[ShareRight, frozenset[Action]] = {
    ShareRight.READ: frozenset({Action.TEMPLATE_READ}),
    ShareRight.CREATE: frozenset({Action.TEMPLATE_READ, Action.TEMPLATE_CREATE}),
    ShareRight.UPDATE: frozenset({Action.TEMPLATE_READ, Action.TEMPLATE_UPDATE}),
    ShareRight.DELETE: frozenset({Action.TEMPLATE_READ, Action.TEMPLATE_ARCHIVE}),
    ShareRight.EXECUTE: frozenset({Action.TEMPLATE_READ, Action.EXECUTION_START}),
    ShareRight.ADMIN: frozenset(
        {
            Action.TEMPLATE_READ,
            Action.TEMPLATE_CREATE,
            Action.TEMPLATE_UPDATE,
            Action.TEMPLATE_ARCHIVE,
            Action.TEMPLATE_SHARE,
            Action.EXECUTION_START,
        }
    ),
}

# A key cannot make keys or members: what leaks with it must not outlive its revocation.
KEY_SCOPES = frozenset(Action) - {Action.MEMBER_MANAGE, Action.KEY_CREATE, Action.KEY_MANAGE}


def permits(roles: Iterable[Role], action: Action, *, own: bool = False) -> bool:
    """Say whether any of ``roles`` may do ``action``; ``own``: the asker made the thing acted on."""
    return any(action in ROLE_ACTIONS[role] or (own and action in OWN_ACTIONS[role]) for role in roles)


def key_permits(user: User, workspace: Workspace, action: Action) -> bool:
    """Say whether the API key the user came in with, if any, covers ``action`` in ``workspace``."""
    return key_covers(user.acting_key, workspace.pk, action)


def key_covers(key: ApiKey | None, workspace_id: int, action: Action) -> bool:
    """Say whether an API key covers ``action`` in a workspace; no key covers everything."""
    return key is None or (key.workspace_id == workspace_id and action in KEY_SCOPES and action in key.scopes)


def allows(
    user: User,
    workspace: Workspace,
    action: Action,
    *,
    owner_id: int | None = None,
    shared: Collection[ShareRight] = (),
) -> bool:
    """Say whether ``user`` may do ``action`` in ``workspace``.

    ``owner_id``: whose thing it is done to; ``shared``: the rights on it that the user was given. They count for
    members only.
    """
    if not user.is_active or not key_permits(user, workspace, action):
        return False
    names = Membership.objects.filter(user=user, workspace=workspace).values_list("role", flat=True)
    roles = [Role(name) for name in names]
    if permits(roles, action, own=owner_id is not None and owner_id == user.pk):
        return True
    return bool(roles) and any(action in SHARE_ACTIONS[right] for right in shared)


def require(
    user: User,
    workspace: Workspace,
    action: Action,
    *,
    owner_id: int | None = None,
    shared: Collection[ShareRight] = (),
) -> None:
    """Raise ``Forbidden`` unless ``allows`` says yes."""
    if not allows(user, workspace, action, owner_id=owner_id, shared=shared):
        was_denied(action, workspace.pk)
        raise Forbidden(
            f"'{user.get_username()}' has no permission '{action}' in the workspace '{workspace.slug}'"
        )

"""What can be wrong with who asks and where."""

from workflow_service.engine.errors import WorkflowError


class Forbidden(WorkflowError):
    """The user is known, and may not do this here."""

    code = "FORBIDDEN"


class WorkspaceNotFound(WorkflowError):
    """No workspace of that id exists for this user: a foreign one looks like an unknown one."""

    code = "WORKSPACE_NOT_FOUND"


class WorkspaceRequired(WorkflowError):
    """The user has several workspaces and named none."""

    code = "WORKSPACE_REQUIRED"


class WorkspaceConflict(WorkflowError):
    """One request names two different workspaces."""

    code = "WORKSPACE_CONFLICT"


class InvalidCredentials(WorkflowError):
    """A user name, password or token is not valid."""

    code = "INVALID_CREDENTIALS"


class ApiKeyNotFound(WorkflowError):
    """No API key of that prefix exists that this user may see."""

    code = "API_KEY_NOT_FOUND"


class ApiKeyInvalid(WorkflowError):
    """An API key cannot be made as asked; ``problems`` says why."""

    code = "API_KEY_INVALID"

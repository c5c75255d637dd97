"""What can be wrong with secrets. No message holds a value, or anything that was made of one."""

from workflow_service.engine.errors import WorkflowError


class SecretNotFound(WorkflowError):
    """No secret of that name exists in the workspace."""

    code = "SECRET_NOT_FOUND"


class SecretExists(WorkflowError):
    """A secret of that name exists in the workspace already."""

    code = "SECRET_EXISTS"


class SecretInvalid(WorkflowError):
    """A secret cannot be kept as it was given; ``problems`` says why."""

    code = "SECRET_INVALID"


class SecretUnreadable(WorkflowError):
    """A stored secret cannot be decrypted: its key is missing here, or its row was tampered with."""

    code = "SECRET_UNREADABLE"


class NoEncryptionKey(WorkflowError):
    """This server has no key to keep secrets with."""

    code = "NO_ENCRYPTION_KEY"

"""Files of a workspace: each has a directory of its own, and no name leads out of it."""

import re
from pathlib import Path

from workflow_service.agents.errors import ToolError
from workflow_service.engine.states import ErrorType

WORKSPACE_ID = re.compile(r"[\w-]{1,100}", re.ASCII)


def workspace_dir(root: Path, workspace_id: str) -> Path:
    """Return the workspace's directory below ``root``; raises ``ToolError`` where its id cannot name one."""
    if not WORKSPACE_ID.fullmatch(workspace_id):
        message = f"the workspace id {workspace_id!r} cannot name a directory"
        raise ToolError(ErrorType.CONFIGURATION_ERROR, message)
    return (root / workspace_id).resolve()


def workspace_file(root: Path, workspace_id: str, name: str) -> Path:
    """Return a file of the workspace below ``root``; raises ``ToolError`` where there is none.

    A name that leads out of the directory, by ``..`` or by a link, is not there.
    """
    home = workspace_dir(root, workspace_id)
    try:
        path = (home / name).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        path = None
    if path is None or not path.is_relative_to(home) or not path.is_file():
        message = f"this workspace has no file '{name}' among its {root.name}"
        raise ToolError(ErrorType.RESOURCE_NOT_FOUND, message, details={"name": name})
    return path

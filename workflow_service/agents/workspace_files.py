"""Files of a workspace: each has a directory of its own, and no name leads out of it."""

import os
import re
import stat
from io import BufferedReader
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


def open_workspace_file(root: Path, workspace_id: str, name: str) -> BufferedReader:
    """Open a file of the workspace below ``root`` to be read; raises ``ToolError`` where there is none.

    A name that leads out of the directory, by ``..`` or by a link, is not there.
    """
    home = workspace_dir(root, workspace_id)
    try:
        descriptor = os.open(home / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        raise _not_there(root, name) from None
    # Asked of the open file, not of its name: a script of the workspace may turn a link at any moment.
    opened = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
    if not opened.is_relative_to(home) or not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_there(root, name)
    return open(descriptor, "rb")


def _not_there(root: Path, name: str) -> ToolError:
    message = f"this workspace has no file '{name}' among its {root.name}"
    return ToolError(ErrorType.RESOURCE_NOT_FOUND, message, details={"name": name})

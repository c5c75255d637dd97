"""Files of a workspace: each has a directory of its own, and no name leads out of it."""

import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from workflow_service.agents.errors import ToolError
from workflow_service.artifacts.references import check_name
from workflow_service.engine.states import ErrorType

WORKSPACE_ID = re.compile(r"[\w-]{1,100}", re.ASCII)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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


def write_workspace_file(home: Path, name: str, source: BinaryIO, *, overwrite: bool = True) -> None:
    """Write a file below ``home``, whole or not at all; raises ``FileExistsError`` where it may not be replaced."""
    with _folder_of(home, name, make=True) as (folder, base):
        part = f".{secrets.token_hex(8)}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(part, flags, 0o600, dir_fd=folder)
        try:
            with open(descriptor, "wb") as target:
                shutil.copyfileobj(source, target)
            if overwrite:
                os.replace(part, base, src_dir_fd=folder, dst_dir_fd=folder)
            else:
                os.link(part, base, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(part, dir_fd=folder)


def move_workspace_file(home: Path, name: str, to: str) -> bool:
    """Give a file another name; says whether there was one. What has that name already is replaced."""
    with (
        _folder_of(home, name) as (folder, base),
        _folder_of(home, to, make=True) as (new_folder, new_base),
    ):
        try:
            if not stat.S_ISREG(os.stat(base, dir_fd=folder, follow_symlinks=False).st_mode):
                return False
            os.replace(base, new_base, src_dir_fd=folder, dst_dir_fd=new_folder)
        except FileNotFoundError:
            return False
    return True


def delete_workspace_file(home: Path, name: str) -> bool:
    """Remove a file; says whether there was one."""
    try:
        with _folder_of(home, name) as (folder, base):
            os.unlink(base, dir_fd=folder)
    except (FileNotFoundError, IsADirectoryError):
        return False
    return True


def list_workspace_files(home: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the names of all files below ``home`` with what is known of them, in order; links are left out."""
    for folder, folders, names in os.walk(home):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            with suppress(FileNotFoundError):
                found = path.lstat()
                if stat.S_ISREG(found.st_mode):
                    yield str(path.relative_to(home)), found


@contextmanager
def _folder_of(home: Path, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """Open the folder a name lies in, step by step and through no link, and give it with the last part."""
    *folders, base = check_name(name).split("/")
    descriptor = os.open(home, _FOLDER)
    try:
        for part in folders:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=descriptor)
            try:
                inner = os.open(part, _FOLDER, dir_fd=descriptor)
            except NotADirectoryError:
                raise FileNotFoundError(f"'{part}' in '{name}' is no folder") from None
            os.close(descriptor)
            descriptor = inner
        yield descriptor, base
    finally:
        os.close(descriptor)


def _not_there(root: Path, name: str) -> ToolError:
    message = f"this workspace has no file '{name}' among its {root.name}"
    return ToolError(ErrorType.RESOURCE_NOT_FOUND, message, details={"name": name})

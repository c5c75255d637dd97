"""The data directory: made private, checked for use, and the files in it written whole or not at all."""

import os
import secrets
import uuid
from pathlib import Path

from workflow_service.embedded.errors import DataDirectoryUnusable


def prepare_data_directory(data_dir: Path) -> Path:
    """Create a data directory if need be and return its real path; raise `DataDirectoryUnusable`."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = data_dir.resolve(strict=True)
        # Only trying tells: root passes every check of permission bits, also on a read-only mount.
        probe = directory / f".probe-{uuid.uuid4().hex}"
        probe.touch(mode=0o600)
        probe.unlink()
    except FileExistsError as error:
        raise DataDirectoryUnusable(data_dir, "it is a file, not a directory") from error
    except OSError as error:
        raise DataDirectoryUnusable(data_dir, error.strerror or str(error)) from error
    return directory


def write_private_file(path: Path, text: str) -> None:
    """Replace a file's content in one step; only the owner can read it."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def keep_secret(path: Path) -> str:
    """Return the secret kept in a file, generated the first time."""
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        secret = ""
    except OSError as error:
        raise DataDirectoryUnusable(path.parent, f"{path.name}: {error.strerror}") from error
    if not secret:
        secret = secrets.token_urlsafe(32)
        write_private_file(path, secret + "\n")
    return secret

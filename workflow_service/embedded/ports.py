"""Loopback ports: find a free one, and say why one cannot be had."""

import contextlib
import os
import socket

from workflow_service.embedded.errors import EmbeddedServiceError

LOOPBACK = "127.0.0.1"


def find_free_port(host: str = LOOPBACK) -> int:
    """Return a port that nobody listens on now; the caller must still be ready to find it taken."""
    with socket.create_server((host, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def why_unavailable(port: int, host: str = LOOPBACK) -> str | None:
    """Return the system's reason why no server can listen on a port now; None if one can."""
    try:
        # Sets SO_REUSEADDR, as servers do: connections in TIME_WAIT do not count.
        with socket.create_server((host, port)):
            return None
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)


def choose_port(preferred: int | None, host: str = LOOPBACK) -> int:
    """Return the preferred port if it can be had, else a free one."""
    if preferred and why_unavailable(preferred, host) is None:
        return preferred
    return find_free_port(host)


def answers(port: int, host: str = LOOPBACK, timeout_s: float = 1.0) -> bool:
    """Say whether something accepts connections on a port."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=timeout_s):
        return True
    return False


class PortUnavailable(EmbeddedServiceError):
    """A port that was asked for cannot be had."""

    def __init__(self, port: int, purpose: str, variable: str, reason: str) -> None:
        super().__init__(
            f"Port {port} for {purpose} cannot be had: {reason}. Set {variable} to another port, "
            "or to 0 for any free one."
        )


def demand_port(port: int, host: str, purpose: str, variable: str) -> int:
    """Return the port, or a free one for 0; raise `PortUnavailable`, naming the variable that changes it."""
    if port == 0:
        return find_free_port(host)
    reason = why_unavailable(port, host)
    if reason is not None:
        raise PortUnavailable(port, purpose, variable, reason)
    return port

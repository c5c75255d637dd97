"""Where a request comes from, known to whatever is recorded while it is served.

Outside of requests (workers, commands, sockets) there is none, and the source is ``service``.
"""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Origin:
    """One request; ``api_key`` is the prefix of the key it came with, ``denied`` what it was refused and where."""

    source: str = "service"
    address: str = ""
    user_agent: str = ""
    request_id: str = ""
    api_key: str = ""
    denied: str = ""
    denied_workspace_id: int | None = None


_current: ContextVar[Origin | None] = ContextVar("audit_origin", default=None)
_SERVICE = Origin()


def current_origin() -> Origin:
    """Return the request that is being served, or what stands for none."""
    return _current.get() or _SERVICE


def serve(origin: Origin | None) -> None:
    """Say which request is being served from now on in this context."""
    _current.set(origin)


def came_with_key(prefix: str) -> None:
    """Note that the request came with the API key of that prefix."""
    origin = _current.get()
    if origin is not None:
        origin.api_key = prefix


def was_denied(action: str, workspace_id: int) -> None:
    """Note what the request was refused, and where; it is recorded with its answer, should that be a refusal."""
    origin = _current.get()
    if origin is not None:
        origin.denied, origin.denied_workspace_id = action, workspace_id

"""What the State Management Service knows of a workspace, read when a run starts: ``context.workspace``.

A run never waits for it for long, and never fails for it: where the service does not answer in time the run starts
without, and for a while nobody asks again.
"""

import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from threading import Lock
from urllib.parse import quote

import httpx

from executions_app.settlement import CONTEXT_VALUE_MAX_BYTES
from executions_app.state_mirror import credentials
from workflow_service.accounts.models import Workspace
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.json_values import JsonUnfit, check_json
from workflow_service.settings.config import get_config

logger = logging.getLogger(__name__)

NAME = "workspace"
LONGEST_WAIT_S = 2.0
FRESH_S = 2.0
LEFT_ALONE_S = 30.0
MAX_BYTES = 49_152


@dataclass(frozen=True, slots=True)
class _Known:
    value: JsonObject
    until: float


_known: dict[str, _Known] = {}
_left_alone_until = 0.0
_lock = Lock()


def workspace_context(workspace: Workspace) -> JsonObject:
    """Return what a run's context begins with: ``{"workspace": …}``, or nothing where nothing is known."""
    if get_config().state_service_url is None:
        return {}
    with _lock:
        known = _known.get(workspace.public_id)
        now = time.monotonic()
        if known is not None and now < known.until:
            return known.value
        if now < _left_alone_until:
            return {}
    return _ask(workspace.public_id)


def forget_workspaces() -> None:
    """Ask the service anew, whatever it said or did not say before."""
    global _left_alone_until
    with _lock:
        _known.clear()
        _left_alone_until = 0.0


def _ask(workspace_id: str) -> JsonObject:
    global _left_alone_until
    wait_s = min(LONGEST_WAIT_S, get_config().state_service_timeout_ms / 1_000)
    try:
        # The whole of it is bounded, not only each part of it: a server may send a byte at a time.
        value = _pool().submit(_fetch, workspace_id, wait_s).result(timeout=wait_s)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, JsonUnfit, TimeoutError) as error:
        logger.warning(
            "The State Service gives no context for %s: %s: %s", workspace_id, type(error).__name__, error
        )
        with _lock:
            _left_alone_until = time.monotonic() + LEFT_ALONE_S
        return {}
    found: JsonObject = {NAME: value} if value else {}
    with _lock:
        if len(_known) > 1_000:
            _known.clear()
        _known[workspace_id] = _Known(found, time.monotonic() + FRESH_S)
    return found


def _fetch(workspace_id: str, wait_s: float) -> JsonObject:
    url = (get_config().state_service_url or "").rstrip("/")
    deadline = time.monotonic() + wait_s
    with (
        httpx.Client(timeout=wait_s, trust_env=False, follow_redirects=False) as http,
        http.stream(
            "GET", f"{url}/workspaces/{quote(workspace_id, safe='')}/context", headers=credentials()
        ) as answer,
    ):
        if answer.status_code == 404:
            return {}
        answer.raise_for_status()
        if answer.status_code != 200:
            raise ValueError(f"answered {answer.status_code}")
        body = b""
        for chunk in answer.iter_bytes(4_096):
            body += chunk
            if len(body) > MAX_BYTES or time.monotonic() > deadline:
                raise ValueError(f"the context is larger than {MAX_BYTES} bytes, or does not end")
    value = json.loads(body)
    check_json(value, max_bytes=MAX_BYTES)
    if not isinstance(value, dict) or len(json.dumps(value)) > CONTEXT_VALUE_MAX_BYTES:
        raise ValueError("the context is no object, or too large a one")
    return value


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(4, thread_name_prefix="workspace-context")

"""Work that fails as often as it is told to, and keeps a ledger of how often and for whom it ran."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from pydantic import JsonValue

from workflow_service.agents.errors import ToolError
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.engine.states import ErrorType

ledger: dict[str, list[dict[str, Any]]] = defaultdict(list)
_names = count(1)
# What a failure says, with its number behind.
WORDS = "failure"


@use_case("tests.unsteady")
def unsteady(params: dict[str, Any], run: RunContext) -> dict[str, JsonValue]:
    """Fail the first ``fails`` times that ``key`` is given with ``error``, then give ``output``."""
    done = ledger[params["key"]]
    done.append({"key": run.idempotency_key, "params": params, "block": run.block_id})
    if len(done) <= params.get("fails", 0):
        raise ToolError(ErrorType(params.get("error", "NETWORK_ERROR")), f"{WORDS} {len(done)}")
    return dict(params.get("output") or {"tries": len(done)})


def new_key() -> str:
    """Return a name that nothing in the ledger has yet."""
    return f"work{next(_names)}"


def work(key: str, **params: Any) -> dict[str, Any]:
    """Return the tool and configuration of unsteady work under ``key``."""
    given = {"useCase": "tests.unsteady", "input": {"key": key, **params}}
    return {"toolType": "USE_CASE", "configuration": given}


def unsteady_block(
    block_id: str, key: str, *, fields: dict[str, Any] | None = None, **params: Any
) -> dict[str, Any]:
    """Return a block of unsteady work, retried at once and at most once."""
    policy = {"maxRetries": 1, "baseDelay": 0, "jitter": False}
    return {"blockId": block_id, "retryPolicy": policy, **work(key, **params), **(fields or {})}


@contextmanager
def dying_at(monkeypatch: Any, owner: Any, name: str) -> Iterator[None]:
    """Let the process die where ``name`` is called: nothing after it happens, in this transaction or later."""

    class Death(BaseException):
        """What no ``except Exception`` catches."""

    def die(*arguments: Any, **options: Any) -> Any:
        raise Death

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, die)
        try:
            yield
        except Death:
            return
    raise AssertionError(f"{name} was never called")

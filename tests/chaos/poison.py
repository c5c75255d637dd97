"""Makes the engine break on every block named ``poison``: only a bug can do that, so it must be put there.

Loaded by workers as a module of use cases.
"""

from typing import Any

from executions_app import settlement
from workflow_service.engine import decide

_settle = decide.settle


def settle_or_break(plan: Any, node: int, *args: Any, **kwargs: Any) -> Any:
    if plan.nodes[node].id == "poison":
        raise ArithmeticError("as planned")
    return _settle(plan, node, *args, **kwargs)


vars(settlement)["settle"] = settle_or_break

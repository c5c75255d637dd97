"""What requests about one execution have in common."""

import time
from collections.abc import Callable

from django.db import connection
from rest_framework.request import Request

from executions_app.models import Execution
from executions_app.selectors import get_execution
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require

_LOOK_AGAIN_S = 0.1


def readable_execution(request: Request, execution_id: str) -> Execution:
    """Return the execution a request is about, if its user may read it there."""
    workspace = workspace_of(request, holding=Execution.objects.filter(public_id=execution_id))
    require(current_user(request), workspace, Action.EXECUTION_READ)
    return get_execution(workspace, execution_id)


def wait_until(holds: Callable[[], bool], wait_s: float) -> None:
    """Return as soon as something holds, or after ``wait_s`` seconds; the database is asked every tenth of one."""
    deadline = time.monotonic() + wait_s
    while not holds() and (left_s := deadline - time.monotonic()) > 0:
        # A request that waits must not keep a connection from those that do not.
        if not connection.in_atomic_block:
            connection.close()
        time.sleep(min(_LOOK_AGAIN_S, left_s))

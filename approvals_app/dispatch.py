"""The only sender of Channels messages about approvals. Each is a hint, sent after the commit it speaks of.

A hint that cannot be sent is forgotten: listeners look for themselves every few seconds.
"""

import logging
from collections.abc import Iterable

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from redis.exceptions import RedisError

from approvals_app.models import ApprovalEvent
from executions_app.crash_points import reach

logger = logging.getLogger(__name__)


def group_of(workspace_id: int) -> str:
    """Return the name of the group that hears of a workspace's approvals."""
    return f"approvals.{workspace_id}"


def tell_after_commit(events: Iterable[ApprovalEvent]) -> None:
    """Tell listeners, once the transaction is committed, that these events are there."""
    newest: dict[int, int] = {}
    for event in events:
        newest[event.workspace_id] = max(event.pk, newest.get(event.workspace_id, 0))
    if newest:
        transaction.on_commit(lambda: _tell(newest), robust=True)


def _tell(newest: dict[int, int]) -> None:
    try:
        async_to_sync(_send)(newest)
    except (RedisError, OSError) as error:
        logger.warning("listeners could not be told of approvals, they will poll: %s", error)


async def _send(newest: dict[int, int]) -> None:
    layer = get_channel_layer()
    for workspace_id, event_id in newest.items():
        reach("approval.hint:before publish")
        await layer.group_send(group_of(workspace_id), {"type": "approval.hint", "id": event_id})
        reach("approval.hint:after publish")

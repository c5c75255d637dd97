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


GROUP = "approvals"
"""The group that hears of approvals: of every workspace, for each web process reads once for all its sockets."""


def tell_after_commit(events: Iterable[ApprovalEvent]) -> None:
    """Tell listeners, once the transaction is committed, that these events are there."""
    newest = max((event.pk for event in events), default=None)
    if newest is not None:
        transaction.on_commit(lambda: _tell(newest), robust=True)


def _tell(newest: int) -> None:
    try:
        async_to_sync(_send)(newest)
    except (RedisError, OSError) as error:
        logger.warning("listeners could not be told of approvals, they will poll: %s", error)


async def _send(newest: int) -> None:
    reach("approval.hint:before publish")
    await get_channel_layer().group_send(GROUP, {"type": "approval.hint", "id": newest})
    reach("approval.hint:after publish")

"""Concurrency limits: set, changed and taken away. What waited for room begins after the commit."""

from functools import partial

from django.db import transaction

from executions_app.admission import admit
from executions_app.agent_slots import hand_on
from executions_app.models import ConcurrencyLimit
from templates_app.models import Template


def save_limit(limit: ConcurrencyLimit) -> ConcurrencyLimit:
    """Write a new or changed limit. It holds for what starts from now on; what is at work goes on."""
    limit.save()
    transaction.on_commit(partial(_let_waiters_begin, limit, limit.pk), robust=True)
    return limit


def delete_limit(limit: ConcurrencyLimit) -> None:
    """Take a limit away."""
    limit_id = limit.pk
    limit.delete()
    transaction.on_commit(partial(_let_waiters_begin, limit, limit_id), robust=True)


def _let_waiters_begin(limit: ConcurrencyLimit, limit_id: int) -> None:
    if limit.kind == ConcurrencyLimit.Kind.AGENT:
        hand_on(limit_id)
        return
    for template in Template.objects.filter(workspace_id=limit.workspace_id, public_id=limit.key):
        admit(template.pk)

"""The check of a run's history sees a claim that was told twice, or not at all."""

import pytest
from django.db.models import F

from executions_app.models import Execution, ExecutionEvent
from tests.consistency import assert_consistent
from tests.factories import make_template, noop, start
from tests.restarting import claim_one

pytestmark = pytest.mark.usefixtures("db", "empty_queues")


def claimed() -> tuple[Execution, ExecutionEvent]:
    execution = start(make_template([noop("once")]))
    claim_one(execution)
    events = ExecutionEvent.objects.filter(execution_id=execution.pk, type="block_started")
    return assert_consistent(execution), events.get()


def test_a_claim_that_was_told_twice_is_seen() -> None:
    execution, told = claimed()
    Execution.objects.filter(pk=execution.pk).update(event_seq=F("event_seq") + 1)
    told.seq = execution.event_seq + 1
    told.save(force_insert=True)
    with pytest.raises(AssertionError, match="was claimed at most 1 times"):
        assert_consistent(execution)


def test_a_claim_that_nobody_told_is_seen() -> None:
    execution, told = claimed()
    ExecutionEvent.objects.filter(execution_id=execution.pk, seq=told.seq).update(type="block_woken")
    with pytest.raises(AssertionError, match="was claimed once"):
        assert_consistent(execution)

"""When a question is due, and for what: a reminder, the next level of its chain, or the end of its time.

A chain's step falls due its ``afterMs`` after the question was asked or the step before was taken, and gives those whom
it adds a term of ``dueMs``; so whoever is asked has their time, also where a step was late. With the last step taken
the end of the last term ends the question's time, which is announced once or decides. Reminders lie on a grid from the
moment of asking, or, where none were wished for, of the end of the time. Pure: the clock is given.

``next_timer_at`` is the earliest of what is still to come; what lies before it has been done. That alone tells what has
been announced from what has not.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from approvals_app.models import Approval
from workflow_service.engine.definition import JsonObject


class Due(StrEnum):
    """What a timer is for."""

    REMINDER = "reminder"
    ESCALATION = "escalation"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Timers:
    """The times of one question. ``overdue_every`` is between reminders of one whose time is over."""

    asked_at: datetime
    due_at: datetime
    steps: tuple[JsonObject, ...]
    taken: int
    remind_every: timedelta | None
    overdue_every: timedelta

    def due(self, since: datetime, now: datetime) -> Due | None:
        """Return what falls due at ``now``; ``since`` is the ``next_timer_at`` that was waited for."""
        step_at = self.step_at()
        if step_at is not None and step_at <= now:
            return Due.ESCALATION
        if step_at is None and since <= self.due_at <= now:
            return Due.TIMEOUT
        remind_at = self._reminder_after(since - timedelta(microseconds=1))
        return Due.REMINDER if remind_at is not None and remind_at <= now else None

    def next_after(self, now: datetime) -> datetime | None:
        """Return when something is to be done that is not due yet at ``now``."""
        step_at = self.step_at()
        end = self.due_at if step_at is None and self.due_at > now else None
        times = [at for at in (step_at, end, self._reminder_after(now)) if at is not None]
        return min(times, default=None)

    def step_at(self) -> datetime | None:
        """Return when the next step of the chain is to be taken; None where none is left."""
        if self.taken >= len(self.steps):
            return None
        began = self.asked_at
        if self.taken:
            began = self.due_at - self.term_of(self.taken)
        return began + _milliseconds(self.steps[self.taken], "afterMs")

    def term_of(self, taken: int) -> timedelta:
        """Return how long the people of the ``taken``-th step have."""
        return _milliseconds(self.steps[taken - 1], "dueMs")

    def _reminder_after(self, now: datetime) -> datetime | None:
        began, every = self.asked_at, self.remind_every
        if every is None:
            if self.taken < len(self.steps):
                return None
            began, every = self.due_at, self.overdue_every
        return began + every * max(1, (now - began) // every + 1)


def timers_of(approval: Approval, *, overdue_every: timedelta) -> Timers:
    """Return the times of a question that has a due time."""
    assert approval.due_at is not None  # noqa: S101 - every question has one
    remind_s = approval.remind_every_s
    return Timers(
        asked_at=approval.requested_at,
        due_at=approval.due_at,
        steps=tuple(approval.escalation_chain),
        taken=approval.escalation_step,
        remind_every=None if remind_s is None else timedelta(seconds=remind_s),
        overdue_every=overdue_every,
    )


def _milliseconds(step: JsonObject, name: str) -> timedelta:
    value = step[name]
    assert isinstance(value, int)  # noqa: S101 - written by ``record_question``
    return timedelta(milliseconds=value)

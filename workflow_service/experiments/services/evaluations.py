"""Running experiments, looked at by the sweeper: those with news, those whose time is up, those that were overtaken.

A look reads everything anew, and is written with what follows from it in one transaction under the experiment's lock:
one that dies half-way never was, and one that is repeated finds an experiment that is over.
"""

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import DateTimeField, ExpressionWrapper, F, Q
from django.utils import timezone

from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import TemplateStatus
from workflow_service.experiments.choosing import running_experiments
from workflow_service.experiments.evaluation import Guardrail, Reading, evaluate
from workflow_service.experiments.measures import read_arms
from workflow_service.experiments.models import Experiment, Metric
from workflow_service.experiments.selectors import SHOWN
from workflow_service.experiments.services.ending import end_experiment

logger = logging.getLogger(__name__)

LOOK_AGAIN = timedelta(seconds=5)
# Of the sweeper's time an experiment takes a fiftieth at most, however many runs it has.
SHARE_OF_TIME = 50
RESTED_AT = ExpressionWrapper(
    F("evaluated_at") + F("evaluation_ms") * timedelta(milliseconds=SHARE_OF_TIME),
    output_field=DateTimeField(),
)


OVERTAKEN = ~Q(template__current_version=F("control")) | Q(template__status=TemplateStatus.ARCHIVED)


def evaluate_experiments() -> int:
    """Evaluate the experiments that are due; returns how many were looked at. A step of the sweeper."""
    now = timezone.now()
    rested = Q(evaluated_at__lt=now - LOOK_AGAIN, rested_at__lt=now)
    news = ~Q(news=F("news_evaluated")) & (Q(evaluated_at=None) | rested)
    running = Experiment.objects.filter(status=Experiment.Status.RUNNING).annotate(rested_at=RESTED_AT)
    due = running.filter(news | Q(ends_at__lte=now) | OVERTAKEN).defer("results").order_by("pk")
    return sum(_evaluate_one(experiment, now) for experiment in list(due))


@dataclass(frozen=True, slots=True)
class Look:
    """What the arms of an experiment said at a moment, and up to which news."""

    reading: Reading
    news: int
    at: datetime
    took_ms: int


def look_at(experiment: Experiment) -> Look:
    """Read the arms of an experiment, which may take seconds: no lock is held meanwhile.

    What ends after ``experiment`` was read is in the arms or in later news, so none of it is passed over.
    """
    at, began = timezone.now(), time.monotonic()
    reading = evaluate(experiment, read_arms(experiment.pk))
    return Look(reading, experiment.news, at, round((time.monotonic() - began) * 1_000))


def keep_look(locked: Experiment, look: Look) -> None:
    """Keep what was seen of an experiment whose row is locked now."""
    locked.results, locked.news_evaluated = look.reading.document(), look.news
    locked.evaluated_at, locked.evaluation_ms = look.at, look.took_ms
    locked.save(update_fields=["results", "news_evaluated", "evaluated_at", "evaluation_ms"])


def newest_reading(experiment: Experiment) -> tuple[JsonObject, datetime]:
    """Return what an experiment's arms say, and when: now, or of one that is over when it ended. Changes nothing."""
    if (
        experiment.results is not None
        and experiment.evaluated_at is not None
        and experiment.ended_at is not None
    ):
        return experiment.results, experiment.evaluated_at
    look = look_at(experiment)
    return look.reading.document(), look.at


def _evaluate_one(experiment: Experiment, now: datetime) -> bool:
    try:
        look = look_at(experiment)
        with transaction.atomic():
            rows = Experiment.objects.select_for_update(no_key=True, of=("self",)).select_related(*SHOWN)
            locked = rows.filter(pk=experiment.pk, status=Experiment.Status.RUNNING).first()
            if locked is None:
                return False
            keep_look(locked, look)
            _conclude(locked, look.reading, now)
    except Exception:
        logger.exception("experiment %s could not be evaluated; it is looked at again", experiment.public_id)
        return False
    if locked.status != Experiment.Status.RUNNING:
        running_experiments.forget()
    return True


def _conclude(locked: Experiment, reading: Reading, now: datetime) -> None:
    """End an experiment if its runs, its time or its template say so; harm counts before everything else.

    A guardrail needs no fair division of the units: going back to what was there before is the safe side of an error.
    """
    tripped, current = reading.tripped, locked.template.current_version
    stopped = partial(end_experiment, locked, status=Experiment.Status.STOPPED, actor=None)
    if tripped is not None:
        because = describe_guardrail(tripped)
        end_experiment(locked, status=Experiment.Status.ROLLED_BACK, because=because, actor=None)
    elif locked.template.status == TemplateStatus.ARCHIVED:
        stopped(because="the template was archived")
    elif current is None or current.pk != locked.control_id:
        stopped(because=f"the template's current version is {current.label if current else 'none'} now")
    elif reading.winner:
        because = (
            f"the {Metric(locked.metric).label.lower()} was decided at the level {float(locked.alpha):g}"
        )
        stopped(because=because, winner=reading.winner)
    elif locked.ends_at is not None and locked.ends_at <= now:
        stopped(because="its time was up, and nothing was decided")


def describe_guardrail(guardrail: Guardrail) -> str:
    """Return what a guardrail that tripped says, in words."""
    if guardrail.name == "error_rate":
        return (
            f"the treatment fails more often by {guardrail.increase:.1f} percentage points; "
            f"the limit is {guardrail.limit:g}"
        )
    return f"the treatment takes {guardrail.increase:.2f} times as long; the limit is {guardrail.limit:g}"

"""Fits what predicts the failure of a template's runs, when enough new ones have ended: one template a tick.

Until the next fit a predictor that the runs since speak against is dropped, in the transaction that learns from them.
"""

import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import asdict

from django.db import connection, transaction
from django.utils import timezone

from workflow_service.anomalies.features import NAMES
from workflow_service.anomalies.judging import (
    LEAST_SINCE,
    ObservedRun,
    fit_and_judge,
    has_failed_since,
)
from workflow_service.anomalies.logistic import Model
from workflow_service.anomalies.models import FailurePredictor, Observation

NEW_RUNS = 25
RUNS_KEPT = 600
REFIT_AFTER_S = 60
TAKE_DUE = """
    UPDATE anomalies_failurepredictor SET unfitted = 0, fitted_at = clock_timestamp() WHERE template_id = (
        SELECT template_id FROM anomalies_failurepredictor
        WHERE unfitted >= %s AND (fitted_at IS NULL OR fitted_at < clock_timestamp() - make_interval(secs => %s))
        ORDER BY unfitted DESC, template_id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING template_id
"""
FORGET = """
    DELETE FROM anomalies_observation WHERE template_id = %s AND execution_id < (
        SELECT execution_id FROM anomalies_observation WHERE template_id = %s
        ORDER BY execution_id DESC OFFSET %s LIMIT 1)
"""
# The newest observations are those since the fit, but for runs that began before others and ended after them.
SINCE = """
    SELECT p.template_id, p.model::text, p.base_rate, o.features::text, o.failed
    FROM anomalies_failurepredictor p CROSS JOIN LATERAL (
        SELECT features, failed FROM anomalies_observation WHERE template_id = p.template_id
        ORDER BY execution_id DESC LIMIT least(p.unfitted, %s)) o
    WHERE p.template_id = ANY(%s) AND p.useful AND p.unfitted >= %s
"""


def drop_what_failed(template_ids: Collection[int]) -> None:
    """Drop the predictors of these templates that were no better than the base rate since they were judged."""
    with connection.cursor() as cursor:
        cursor.execute(SINCE, [RUNS_KEPT, list(template_ids), LEAST_SINCE])
        rows = cursor.fetchall()
    models = {
        template_id: (Model(**json.loads(model)), base_rate) for template_id, model, base_rate, *_ in rows
    }
    since: dict[int, list[ObservedRun]] = defaultdict(list)
    for template_id, _, _, features, failed in rows:
        moments = json.loads(features)
        if all(len(moment) == len(NAMES) for moment in moments):
            since[template_id].append(ObservedRun(moments, failed))
    failed_since = [
        template_id for template_id, runs in since.items() if has_failed_since(*models[template_id], runs)
    ]
    if failed_since:
        FailurePredictor.objects.filter(template__in=failed_since).update(useful=False)


def fit_what_is_due() -> bool:
    """Fit the predictor that waits for the most new runs; returns whether there was one."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(TAKE_DUE, [NEW_RUNS, REFIT_AFTER_S])
            due = cursor.fetchone()
        if due is None:
            return False
        fit_template(due[0])
    return True


def fit_template(template_id: int) -> None:
    """Fit a template's predictor on its newest runs, and forget the observations of older ones."""
    with connection.cursor() as cursor:
        cursor.execute(FORGET, [template_id, template_id, RUNS_KEPT - 1])
    rows = Observation.objects.filter(template=template_id).order_by("execution")
    observed = [
        ObservedRun(moments, failed)
        for moments, failed in rows.values_list("features", "failed")
        if all(len(moment) == len(NAMES) for moment in moments)
    ]
    judged = fit_and_judge(observed)
    FailurePredictor.objects.filter(template=template_id).update(
        model=asdict(judged.model) if judged else None,
        useful=judged is not None and judged.useful,
        fitted_on=judged.fitted_on if judged else 0,
        judged_on=judged.judged_on if judged else 0,
        base_rate=judged.base_rate if judged else None,
        brier=judged.brier if judged else None,
        base_brier=judged.base_brier if judged else None,
        fitted_at=timezone.now(),
    )

"""Fits what predicts the failure of a template's runs, when enough new ones have ended: one template a tick."""

from dataclasses import asdict

from django.db import connection, transaction
from django.utils import timezone

from workflow_service.anomalies.features import NAMES
from workflow_service.anomalies.judging import ObservedRun, fit_and_judge
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

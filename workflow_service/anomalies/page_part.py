"""What a run's page shows of this app: its risk of failing while it goes on, and what is unusual about it."""

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from executions_app.models import Execution
from workflow_service.anomalies.prediction import predict
from workflow_service.anomalies.selectors import anomalies_of

SHOWN = 10
# Above this risk the page warns rather than tells.
HIGH_RISK = 0.5


def anomalies_on_page(execution: Execution) -> SafeString | None:
    """Return the part of a run's page; None where there is nothing to tell."""
    found = list(anomalies_of(execution)[: SHOWN + 1]) if execution.anomaly_detected else []
    prediction = predict(execution) if execution.completed_at is None else None
    known = prediction is not None and prediction.risk is not None
    if not found and not known:
        return None
    context = {
        "anomalies": found[:SHOWN],
        "more": len(found) > SHOWN,
        "prediction": prediction if known else None,
        "high": known and prediction is not None and (prediction.risk or 0) >= HIGH_RISK,
    }
    return render_to_string("admin/execution_insights.html", context)

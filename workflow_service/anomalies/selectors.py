"""Reads: the anomalies of a workspace."""

from django.db.models import QuerySet

from executions_app.models import Execution
from workflow_service.accounts.models import Workspace
from workflow_service.anomalies.models import Anomaly


def list_anomalies(
    workspace: Workspace,
    *,
    template_id: str | None = None,
    execution_id: str | None = None,
    kind: str | None = None,
) -> QuerySet[Anomaly]:
    """Return the workspace's anomalies, newest first; the ids are public ones."""
    rows = Anomaly.objects.filter(workspace=workspace)
    if template_id is not None:
        rows = rows.filter(template__public_id=template_id)
    if execution_id is not None:
        rows = rows.filter(execution__public_id=execution_id)
    if kind is not None:
        rows = rows.filter(kind=kind)
    return rows.select_related("template", "version", "execution").order_by("-id")


def anomalies_of(execution: Execution) -> QuerySet[Anomaly]:
    """Return what was unusual about a run, the most surprising first."""
    return Anomaly.objects.filter(execution=execution).order_by("-score", "id")

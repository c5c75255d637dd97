"""Reads: experiments of a workspace."""

from django.db.models import QuerySet

from workflow_service.accounts.models import Workspace
from workflow_service.experiments.errors import ExperimentNotFound
from workflow_service.experiments.models import Experiment

SHOWN = (
    "template", "template__owner", "template__current_version", "workspace", "control", "treatment",
    "promoted_version", "created_by", "started_by",
)  # fmt: skip


def get_experiment(workspace: Workspace, experiment_id: str) -> Experiment:
    """Return the experiment of that public id; raises ``ExperimentNotFound``."""
    rows = Experiment.objects.select_related(*SHOWN)
    experiment = rows.filter(workspace=workspace, public_id=experiment_id).first()
    if experiment is None:
        raise ExperimentNotFound(f"there is no experiment '{experiment_id[:64]}' in this workspace")
    return experiment


def list_experiments(
    workspace: Workspace, *, status: str | None = None, template_id: str | None = None
) -> QuerySet[Experiment]:
    """Return the workspace's experiments, newest first; ``template_id`` is a public id."""
    rows = Experiment.objects.filter(workspace=workspace).select_related(*SHOWN)
    if status is not None:
        rows = rows.filter(status=status)
    if template_id is not None:
        rows = rows.filter(template__public_id=template_id)
    return rows.order_by("-id")

"""The end of an experiment: written, recorded and told in one transaction, whoever or whatever ends it."""

from django.urls import reverse
from django.utils import timezone

from workflow_service.accounts.models import User
from workflow_service.accounts.recording import record_by
from workflow_service.experiments.models import Experiment
from workflow_service.notifications.models import Topic
from workflow_service.notifications.service import Notice, Receiver, notify, one_line


def end_experiment(
    locked: Experiment, *, status: Experiment.Status, because: str, actor: User | None, winner: str = ""
) -> None:
    """End a running experiment whose row is locked: every start gets the current version, which is the control.

    ``actor`` is None where the service does it.
    """
    locked.status, locked.winner = status, winner
    locked.ended_because, locked.ended_at = one_line(because, 500), timezone.now()
    locked.save(update_fields=["status", "winner", "ended_because", "ended_at"])
    target = (locked.workspace_id, "experiment", locked.public_id)
    told = {"template": locked.template.public_id, "winner": winner, "because": locked.ended_because}
    if status == Experiment.Status.ROLLED_BACK:
        record_by(actor, "experiment.roll_back", *target, **told)
    else:
        record_by(actor, "experiment.stop", *target, **told)
    _tell(locked, actor)


def _tell(experiment: Experiment, actor: User | None) -> None:
    """Tell whoever started it and the template's owner, but not the one who ended it, and the webhooks."""
    concerned = {experiment.started_by_id, experiment.template.owner_id} - {actor.pk if actor else None, None}
    receivers = [Receiver(user_id) for user_id in sorted(one for one in concerned if one is not None)]
    ended = "rolled back" if experiment.status == Experiment.Status.ROLLED_BACK else "stopped"
    outcome = f"the {experiment.winner} won" if experiment.winner else "no winner"
    facts = [
        ("Experiment", f"{one_line(experiment.name)} ({experiment.public_id})"),
        ("Workflow", one_line(experiment.template.name)),
        ("Control", experiment.control.label),
        ("Treatment", experiment.treatment.label),
        ("Outcome", outcome),
        ("Reason", experiment.ended_because),
    ]
    notice = Notice(
        topic=Topic.EXPERIMENT_ENDED,
        title=one_line(f"Experiment {experiment.name} was {ended}: {outcome}"),
        text="\n".join(f"{name}: {value}" for name, value in facts if value),
        path=reverse("admin:experiments_experiment_change", args=[experiment.public_id]),
        data={
            "experimentId": experiment.public_id,
            "templateId": experiment.template.public_id,
            "status": experiment.status,
            "winner": experiment.winner or None,
            "control": experiment.control.label,
            "treatment": experiment.treatment.label,
            "reason": experiment.ended_because,
        },
        key=f"{experiment.public_id}:{Topic.EXPERIMENT_ENDED.value}",
    )
    notify(experiment.workspace_id, notice, receivers)

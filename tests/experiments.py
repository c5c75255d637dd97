"""Experiments for tests: a template of two versions, and runs that have ended without having run."""

from itertools import count
from typing import Any

from django.db.models import F

from templates_app.models import Template
from templates_app.selectors import get_version
from templates_app.services.templates import add_version
from tests.factories import make_template, noop
from workflow_service.accounts.models import User, Workspace
from workflow_service.experiments.models import Arm, Assignment, Experiment
from workflow_service.experiments.services.experiments import create_experiment, start_experiment

_numbers = count(1)


def revise(template: Template, *blocks: dict[str, Any], **definition: Any) -> None:
    """Give a template another version, as its owner."""
    body = {"name": template.name, "blocks": list(blocks), **definition}
    add_version(template=template, actor=template.owner, body=body)
    template.refresh_from_db()


def make_experiment(
    *treatment: dict[str, Any],
    begin: bool = True,
    workspace: Workspace | None = None,
    owner: User | None = None,
    **fields: Any,
) -> Experiment:
    """Make a template of two versions, and an experiment of its owner's that compares them; started unless told."""
    template = make_template([noop("a", {"by": "control"})], workspace=workspace)
    if owner is not None:
        template.owner = owner
        template.save()
    revise(template, *(treatment or [noop("a", {"by": "treatment"})]))
    experiment = create_experiment(
        template=template,
        actor=template.owner,
        control=get_version(template, "1"),
        treatment=get_version(template, "2"),
        fields={"name": "Which is better", **fields},
    )
    return start_experiment(experiment=experiment, actor=template.owner) if begin else experiment


def number_of_no_run() -> int:
    """Return an id that no run has: of one that is long gone."""
    return -next(_numbers)


def let_have_ended(
    experiment: Experiment, arm: Arm, *, completed: int = 0, failed: int = 0, active_ms: int = 1_000
) -> None:
    """Let runs of an arm have ended, each a unit of its own, and be news."""
    outcomes = ["COMPLETED"] * completed + ["FAILED"] * failed
    Assignment.objects.bulk_create(
        Assignment(
            execution_id=number_of_no_run(),
            experiment=experiment,
            arm=arm,
            unit=next(_numbers),
            outcome=outcome,
            active_ms=active_ms + number,
            cost_usd=0,
        )
        for number, outcome in enumerate(outcomes)
    )
    Experiment.objects.filter(pk=experiment.pk).update(news=F("news") + 1, evaluated_at=None)

"""Writes: experiments, from their draft to their end.

Each is one transaction that locks the template first and the experiment second. The template says what runs: its
current version is the control while an experiment is running, so that whatever ends the experiment, a crash included,
leaves everybody with the control.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from executions_app.services.executions import runnable_version
from templates_app.models import Template, TemplateVersion
from templates_app.selectors import current_version, version_before
from templates_app.services.locks import lock_template
from templates_app.services.templates import roll_back
from templates_app.sharing import require_on
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action
from workflow_service.accounts.recording import record_by
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.documents import load_definition
from workflow_service.engine.errors import ExpressionError, Problem
from workflow_service.engine.expressions import compile_expression
from workflow_service.experiments.choosing import running_experiments
from workflow_service.experiments.errors import (
    ExperimentInvalid,
    ExperimentStateForbids,
    TemplateUnderExperiment,
)
from workflow_service.experiments.models import Arm, Experiment, Metric
from workflow_service.experiments.selectors import SHOWN
from workflow_service.experiments.services.ending import end_experiment
from workflow_service.experiments.services.evaluations import keep_look, look_at

Status = Experiment.Status


def create_experiment(
    *,
    template: Template,
    actor: User,
    control: TemplateVersion,
    treatment: TemplateVersion,
    fields: Mapping[str, Any],
) -> Experiment:
    """Describe an experiment with two versions of a template; nothing changes before it is started.

    ``fields`` are the model's that people set. Raises ``Forbidden``, ``ExperimentInvalid``.
    """
    require_on(template, actor, Action.TEMPLATE_UPDATE)
    experiment = Experiment(
        workspace=template.workspace,
        template=template,
        control=control,
        treatment=treatment,
        created_by=actor,
        **fields,
    )
    _check(experiment)
    with transaction.atomic():
        experiment.save()
        _record(actor, "experiment.create", experiment, metric=experiment.metric)
    return experiment


def propose_experiment(
    *, template: Template, actor: User, treatment: TemplateVersion, name: str, hypothesis: str, metric: Metric
) -> Experiment:
    """Describe an experiment that finds out whether a version is better than the one before it.

    For suggestions that were accepted: the version may be current already. A person starts it. Raises as
    ``create_experiment`` does, and ``ExperimentInvalid`` where there is no version before.
    """
    current = current_version(template)
    control = version_before(treatment) if current.pk == treatment.pk else current
    given = {"name": name[:200], "hypothesis": hypothesis[:2_000], "metric": metric}
    return create_experiment(
        template=template, actor=actor, control=control, treatment=treatment, fields=given
    )


def change_experiment(
    *,
    experiment: Experiment,
    actor: User,
    control: TemplateVersion | None = None,
    treatment: TemplateVersion | None = None,
    fields: Mapping[str, Any],
) -> Experiment:
    """Change a draft; what is left out stays. Raises ``ExperimentStateForbids``, ``ExperimentInvalid``."""
    require_on(experiment.template, actor, Action.TEMPLATE_UPDATE)
    with transaction.atomic():
        locked = _lock(experiment)
        _require(locked, "changed", Status.DRAFT, mend="make another one")
        changed = dict(fields)
        changed |= {"control": control} if control else {}
        changed |= {"treatment": treatment} if treatment else {}
        for name, value in changed.items():
            setattr(locked, name, value)
        _check(locked)
        if changed:
            locked.save(update_fields=list(changed))
            _record(actor, "experiment.change", locked, fields=sorted(changed))
    return locked


def delete_experiment(*, experiment: Experiment, actor: User) -> None:
    """Delete a draft; what was started is kept. Raises ``ExperimentStateForbids``."""
    require_on(experiment.template, actor, Action.TEMPLATE_UPDATE)
    with transaction.atomic():
        locked = _lock(experiment)
        _require(locked, "deleted", Status.DRAFT, mend="its results are kept")
        _record(actor, "experiment.delete", locked)
        locked.delete()


def start_experiment(*, experiment: Experiment, actor: User) -> Experiment:
    """Start a draft: from now on starts that name no version are divided among both.

    Where the control is not what the template runs now, the template is rolled back to it first, by a new version that
    says the same. Raises ``ExperimentStateForbids``, ``ExperimentInvalid``, ``TemplateUnderExperiment``,
    ``TemplateNotRunnable``, and what ``roll_back`` does.
    """
    require_on(experiment.template, actor, Action.TEMPLATE_UPDATE)
    with transaction.atomic():
        template = lock_template(experiment.template)
        locked = _lock(experiment)
        _require(locked, "started", Status.DRAFT, mend="make another one")
        if Experiment.objects.filter(template=template, status=Status.RUNNING).exists():
            raise TemplateUnderExperiment("another experiment is running on this template: stop it first")
        if locked.ends_at is not None and locked.ends_at <= timezone.now():
            raise _invalid("IN_THE_PAST", "/endsAt", "it would end before it begins", "say a later moment")
        for version in (locked.control, locked.treatment):
            runnable_version(template, version)
        _require_same_input(locked)
        if current_version(template).pk != locked.control_id:
            note = f"Control of experiment {locked.public_id}: what {locked.control.label} said"
            rolled = roll_back(template=template, actor=actor, version=locked.control, change_note=note)
            locked.control, locked.template = current_version(rolled), rolled
            if locked.control_id == locked.treatment_id:
                message = "says what the control says, and is what the template runs now"
                raise _invalid("SAME_DEFINITION", "/treatment", message, "name the two the other way round")
        locked.status, locked.started_by, locked.started_at = Status.RUNNING, actor, timezone.now()
        locked.save(update_fields=["control", "status", "started_by", "started_at"])
        _record(actor, "experiment.start", locked, share=locked.treatment_share)
    running_experiments.forget()
    return locked


def stop_experiment(*, experiment: Experiment, actor: User, reason: str = "") -> Experiment:
    """Stop a running experiment with what is known now; runs under way keep their version.

    Raises ``ExperimentStateForbids``.
    """
    require_on(experiment.template, actor, Action.TEMPLATE_UPDATE)
    look = look_at(experiment)
    with transaction.atomic():
        locked = _lock(experiment)
        _require(locked, "stopped", Status.RUNNING)
        keep_look(locked, look)
        because = reason or f"stopped by {actor.get_username()}"
        end_experiment(locked, status=Status.STOPPED, because=because, actor=actor)
    running_experiments.forget()
    return locked


def promote_treatment(*, experiment: Experiment, actor: User) -> Experiment:
    """Make what the treatment says the template's current version, and end the experiment if it is running.

    Refused where it was rolled back, and where the template says something else by now than it did in the experiment.
    Raises ``ExperimentStateForbids``, and what ``roll_back`` does.
    """
    require_on(experiment.template, actor, Action.TEMPLATE_UPDATE)
    look = look_at(experiment)
    with transaction.atomic():
        template = lock_template(experiment.template)
        locked = _lock(experiment)
        _require(locked, "promoted", Status.RUNNING, Status.STOPPED, mend="change the template itself")
        if locked.promoted_version_id is not None:
            return locked
        if current_version(template).pk != locked.control_id:
            raise ExperimentStateForbids(
                locked.public_id,
                "out of date",
                "promoted",
                "the template was changed since; roll it back itself",
            )
        if locked.status == Status.RUNNING:
            keep_look(locked, look)
            because = f"the treatment was promoted by {actor.get_username()}"
            end_experiment(
                locked, status=Status.STOPPED, because=because, actor=actor, winner=Arm.TREATMENT.value
            )
        note = f"Promoted by experiment {locked.public_id}: what {locked.treatment.label} says"
        promoted = roll_back(template=template, actor=actor, version=locked.treatment, change_note=note)
        locked.template, locked.promoted_version = promoted, current_version(promoted)
        locked.save(update_fields=["promoted_version"])
        _record(actor, "experiment.promote", locked, version=current_version(promoted).label)
    running_experiments.forget()
    return locked


def _lock(experiment: Experiment) -> Experiment:
    """Return the experiment as it is now, its row locked until the transaction ends."""
    Experiment.objects.select_for_update(no_key=True).values_list("pk").get(pk=experiment.pk)
    return Experiment.objects.select_related(*SHOWN).get(pk=experiment.pk)


def _require(locked: Experiment, wanted: str, *statuses: Status, mend: str = "") -> None:
    if locked.status not in statuses:
        raise ExperimentStateForbids(locked.public_id, locked.status, wanted, mend)


def _check(experiment: Experiment) -> None:
    """Raise ``ExperimentInvalid`` unless its parts fit together."""
    for name in ("control", "treatment"):
        if getattr(experiment, name).template_id != experiment.template_id:
            raise _invalid(
                "FOREIGN_VERSION", f"/{name}", "is a version of another template", "name one of this"
            )
    if experiment.control_id == experiment.treatment_id:
        mend = "change the template first: its new version is the treatment"
        raise _invalid("SAME_VERSION", "/treatment", "is the control itself", mend)
    by_input = experiment.sticky_by == Experiment.StickyBy.INPUT
    if by_input != bool(experiment.sticky_expression):
        mend = "such as workflow.input.customerId, with stickyBy 'input'"
        raise _invalid(
            "STICKY_EXPRESSION", "/stickyExpression", "is for stickyBy 'input', and needed there", mend
        )
    if by_input:
        try:
            reads = compile_expression(experiment.sticky_expression).references
        except ExpressionError as error:
            raise ExperimentInvalid("the sticky expression cannot be read", error.problems) from error
        if not reads.input or reads.context or reads.outputs or reads.secrets:
            message = "may read nothing but the input, and must read something of it"
            raise _invalid(
                "STICKY_EXPRESSION", "/stickyExpression", message, "such as workflow.input.customerId"
            )


def _require_same_input(experiment: Experiment) -> None:
    """Refuse versions that take different inputs: one would refuse what the other runs, and count no failure."""
    first, second = (
        load_definition(version.definition).input_schema
        for version in (experiment.control, experiment.treatment)
    )
    if first != second:
        mend = "give both the same inputSchema"
        raise _invalid("INPUT_SCHEMAS_DIFFER", "/treatment", "takes another input than the control", mend)


def _invalid(code: str, pointer: str, message: str, mend: str) -> ExperimentInvalid:
    return ExperimentInvalid(f"the experiment cannot be: {message}", [Problem(code, message, pointer, mend)])


def _record(actor: User, action: str, experiment: Experiment, /, **detail: Any) -> None:
    told: JsonObject = {
        "name": experiment.name,
        "template": experiment.template.public_id,
        "control": experiment.control.label,
        "treatment": experiment.treatment.label,
        **detail,
    }
    record_by(actor, action, experiment.workspace_id, "experiment", experiment.public_id, **told)

"""Which version a start gets while an experiment is running on its template.

A process looks at the running experiments once a second at most, so that starts of other templates pay nothing for
them; an experiment that was stopped or rolled back elsewhere takes at most that second to end here.
"""

import secrets
import time
from collections.abc import Mapping
from functools import partial

from pydantic import JsonValue

from executions_app.models import Execution
from executions_app.transaction import EngineTransaction
from executions_app.version_choice import StartFacts, VersionChoice
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import compile_expression
from workflow_service.engine.scope import ValuesScope
from workflow_service.experiments.allocation import arm_of, unit_of
from workflow_service.experiments.models import Arm, Experiment

LOOK_AGAIN_S = 1.0

RECORD = """
    INSERT INTO experiments_assignment (execution_id, experiment_id, arm, unit, outcome, assigned_at)
    VALUES (%s, %s, %s, %s, '', clock_timestamp())
"""


class RunningExperiments:
    """The experiments that are running, by template, as this process last read them."""

    def __init__(self) -> None:
        self._by_template: Mapping[int, Experiment] = {}
        self._read_at: float | None = None

    def of(self, template_id: int) -> Experiment | None:
        """Return the experiment that is running on a template, if any."""
        now = time.monotonic()
        if self._read_at is None or now - self._read_at >= LOOK_AGAIN_S:
            rows = Experiment.objects.filter(status=Experiment.Status.RUNNING)
            rows = rows.select_related("control", "treatment").defer(
                "results", "control__definition", "treatment__definition"
            )
            self._by_template = {row.template_id: row for row in rows}
            self._read_at = now
        return self._by_template.get(template_id)

    def forget(self) -> None:
        """Look again at the next start: this process has changed one."""
        self._read_at = None


running_experiments = RunningExperiments()


def choose_arm(facts: StartFacts) -> VersionChoice | None:
    """Return the version a start gets from the experiment running on its template; None: the current version.

    None also where the template's current version is another than the control, which ends the experiment, and where
    the input has no value to tell units by.
    """
    experiment = running_experiments.of(facts.template.pk)
    if experiment is None or facts.template.current_version_id != experiment.control_id:
        return None
    key = _key(experiment, facts)
    if key is None:
        return None
    unit = unit_of(experiment.public_id, key)
    arm = arm_of(unit, experiment.treatment_share)
    version = experiment.treatment if arm is Arm.TREATMENT else experiment.control
    return VersionChoice(
        version,
        partial(_record, experiment.pk, arm, unit),
        {"experiment": {"id": experiment.public_id, "arm": arm.value}},
    )


def _key(experiment: Experiment, facts: StartFacts) -> JsonValue:
    """Return what goes the same way each time; None where the input does not say it."""
    match experiment.sticky_by:
        case Experiment.StickyBy.STARTER:
            return ["starter", facts.starter.pk]
        case Experiment.StickyBy.INPUT:
            try:
                value = compile_expression(experiment.sticky_expression).evaluate(
                    ValuesScope(input=facts.input)
                )
            except ExpressionError:
                return None
            return None if value is None else ["input", value]
        case _:
            # What runs inside one run is no choice of its own.
            return ["run", facts.parent_id or secrets.token_hex(16)]


def _record(experiment_pk: int, arm: Arm, unit: int, tx: EngineTransaction, execution: Execution) -> None:
    tx.run(RECORD, (execution.pk, experiment_pk, arm.value, unit))

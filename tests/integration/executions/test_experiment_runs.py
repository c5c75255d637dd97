"""Experiments on real runs: who gets what, that it is counted once whatever dies, and how an experiment ends."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from executions_app.digest import EndedRun, digest_ended_runs
from executions_app.models import Execution, ExecutionEvent
from executions_app.services.executions import start_execution
from executions_app.transaction import pipelined_transaction
from executions_app.version_choice import StartFacts, VersionChoice, choose_version
from templates_app.models import Template
from templates_app.selectors import get_version
from templates_app.services.statuses import archive_template
from tests.driver import run_until_quiet
from tests.experiments import let_have_ended, make_experiment, number_of_no_run, revise
from tests.factories import make_template, make_user, noop, start
from tests.restarting import restart
from workflow_service.ai.models import LlmUsage
from workflow_service.audit.models import AuditEntry
from workflow_service.engine.states import ExecutionStatus
from workflow_service.experiments.choosing import running_experiments
from workflow_service.experiments.errors import (
    ExperimentInvalid,
    ExperimentStateForbids,
    TemplateUnderExperiment,
)
from workflow_service.experiments.measures import read_arms
from workflow_service.experiments.models import Arm, Assignment, Experiment, Metric
from workflow_service.experiments.outcomes import count_outcomes
from workflow_service.experiments.services.evaluations import (
    LOOK_AGAIN,
    evaluate_experiments,
    keep_look,
    look_at,
)
from workflow_service.experiments.services.experiments import (
    change_experiment,
    create_experiment,
    promote_treatment,
    propose_experiment,
    start_experiment,
    stop_experiment,
)
from workflow_service.notifications.models import Notification

pytestmark = pytest.mark.usefixtures("db", "empty_queues")


@pytest.fixture(autouse=True)
def alone(db: None) -> None:
    """No experiment of another test is still running."""
    Experiment.objects.filter(status="running").update(status="stopped", ended_at=timezone.now())
    running_experiments.forget()


FAILS = {
    "blockId": "a",
    "toolType": "USE_CASE",
    "configuration": {"useCase": "json.select", "input": {"value": {}, "paths": {"a": "gone"}}},
    "retryPolicy": {"maxRetries": 0},
    "recovery": {"strategies": ["retry"]},
}


def run(experiment: Experiment, given: dict[str, Any] | None = None) -> Execution:
    """Start a run of an experiment's template, as anybody would, and let it end."""
    template = Template.objects.select_related("current_version", "workspace", "owner").get(
        pk=experiment.template_id
    )
    return run_until_quiet(start(template, given))


def reread(experiment: Experiment) -> Experiment:
    return Experiment.objects.select_related("template__current_version", "control").get(pk=experiment.pk)


def facts(experiment: Experiment, given: dict[str, Any]) -> StartFacts:
    template = reread(experiment).template
    return StartFacts(template, template.owner, given)


def arms_of(experiment: Experiment, given: list[dict[str, Any]], starter: Any = None) -> list[str | None]:
    template = reread(experiment).template
    chosen = [choose_version(StartFacts(template, starter or template.owner, one)) for one in given]
    told: list[Any] = [one.event_data["experiment"] if one else {} for one in chosen]
    return [one.get("arm") for one in told]


def test_the_template_runs_the_control_while_an_experiment_is_running() -> None:
    """It is rolled back by a version that says what the control said; that one is the control."""
    experiment = make_experiment()
    template = reread(experiment).template
    assert template.current_version is not None
    assert (template.current_version.label, template.current_version_id) == ("1.2.0", experiment.control_id)
    assert template.current_version.definition == get_version(template, "1").definition


def test_a_run_gets_a_version_keeps_it_and_says_so() -> None:
    experiment = make_experiment(treatment_share=99)
    execution = run(experiment)
    assignment = Assignment.objects.get(execution=execution)
    assert assignment.arm == Arm.TREATMENT
    assert execution.version_id == experiment.treatment_id
    began = ExecutionEvent.objects.get(execution_id=execution.pk, type="execution_started")
    assert began.data["experiment"] == {"id": experiment.public_id, "arm": "treatment"}
    restart(execution, from_block="a")
    assert run_until_quiet(execution).version_id == experiment.treatment_id
    assert Assignment.objects.filter(experiment=experiment).count() == 1


def test_a_start_that_names_its_version_is_not_in_the_experiment() -> None:
    experiment = make_experiment(treatment_share=99)
    template = reread(experiment).template
    started = start_execution(
        workspace=template.workspace,
        actor=template.owner,
        template=template,
        version=get_version(template, "1"),
        input={},
    )
    assert not Assignment.objects.filter(execution=started.execution).exists()


def test_runs_are_divided_by_the_share() -> None:
    experiment = make_experiment(treatment_share=20)
    arms = arms_of(experiment, [{}] * 300)
    assert 30 <= arms.count("treatment") <= 90


def test_a_starter_goes_the_same_way_each_time() -> None:
    experiment = make_experiment(sticky_by="starter")
    workspace = experiment.template.workspace
    by_starter = [set(arms_of(experiment, [{}] * 5, make_user(workspace))) for _ in range(12)]
    assert all(len(arms) == 1 for arms in by_starter)
    assert len(set.union(*by_starter)) == 2


def test_a_value_of_the_input_goes_the_same_way_each_time_and_without_one_nothing_is_chosen() -> None:
    experiment = make_experiment(sticky_by="input", sticky_expression="workflow.input.customer")
    customers = [{"customer": number} for number in range(40)]
    first = arms_of(experiment, customers)
    assert first == arms_of(experiment, customers)
    assert set(first) == {"control", "treatment"}
    assert arms_of(experiment, [{}, {"customer": None}]) == [None, None]


def test_a_sub_workflow_gets_its_version_too_and_the_same_for_all_of_its_parent() -> None:
    experiment = make_experiment()
    child = {
        "toolType": "SUBWORKFLOW",
        "configuration": {"template": experiment.template.public_id, "input": {}},
    }
    parent = make_template(
        [{"blockId": name, **child} for name in "abcd"], workspace=experiment.template.workspace
    )
    execution = run_until_quiet(start(parent))
    for one in Execution.objects.filter(parent=execution):
        run_until_quiet(one)
    given = Assignment.objects.filter(execution__parent=execution)
    assert given.count() == 4
    assert len({(one.arm, one.unit) for one in given}) == 1
    assert {one.execution.version_id for one in given} <= {experiment.control_id, experiment.treatment_id}


def record(choice: VersionChoice, execution: Execution) -> None:
    """Write a choice down in a transaction that comes to nothing."""
    with pipelined_transaction() as tx:
        choice.record(tx, execution)
        tx.one("SELECT 1")


def test_no_run_is_assigned_twice_nor_one_that_does_not_come_to_be() -> None:
    experiment = make_experiment()
    choice = choose_version(facts(experiment, {}))
    assert choice is not None
    execution = run(experiment)
    with pytest.raises(psycopg.errors.UniqueViolation):
        record(choice, execution)
    before = Assignment.objects.count()
    record(choice, Execution(pk=number_of_no_run()))
    assert Assignment.objects.count() == before


def ended(execution: Execution) -> EndedRun:
    execution.refresh_from_db()
    assert execution.completed_at is not None
    return EndedRun(
        execution.pk, execution.workspace_id, execution.template_id, execution.version_id,
        ExecutionStatus(execution.status), execution.generation, 0, execution.started_at, execution.completed_at,
    )  # fmt: skip


def test_a_run_counts_once_as_it_ended_first_with_what_it_paid() -> None:
    experiment = make_experiment(FAILS, treatment_share=99)
    execution = run(experiment)
    LlmUsage.objects.create(
        workspace=experiment.template.workspace, execution_id=execution.public_id, operation="x", provider="p",
        model="m", state="SETTLED", cost_usd="0.25", created_at=timezone.now(),
    )  # fmt: skip
    assert digest_ended_runs() >= 1
    assignment = Assignment.objects.get(execution=execution)
    assert (assignment.outcome, assignment.cost_usd) == ("FAILED", 0.25)
    assert assignment.active_ms is not None
    assert reread(experiment).news == 1
    Assignment.objects.filter(pk=assignment.pk).update(active_ms=1)
    count_outcomes([ended(execution)])
    assert Assignment.objects.get(pk=assignment.pk).active_ms == 1
    assert read_arms(experiment.pk)[Arm.TREATMENT].failed == 1


def test_figures_of_arms_count_units_and_leave_out_cancelled_runs() -> None:
    experiment = make_experiment()
    rows = [
        (1, "COMPLETED", 1_000),
        (1, "FAILED", 9),
        (2, "COMPLETED", 4_000),
        (3, "CANCELLED", 9),
        (4, "", 0),
    ]
    Assignment.objects.bulk_create(
        Assignment(
            execution_id=number_of_no_run(), experiment=experiment, arm="control", unit=unit, outcome=outcome,
            active_ms=ms or None, cost_usd=0.5 if outcome else None,
        )
        for unit, outcome, ms in rows
    )  # fmt: skip
    arms = read_arms(experiment.pk)
    control = arms[Arm.CONTROL]
    assert (control.assigned, control.units, control.completed, control.failed, control.cancelled) == (
        5,
        4,
        2,
        1,
        1,
    )
    success = control.totals[Metric.SUCCESS_RATE]
    assert (success.units, success.runs, success.values, success.runs_squared, success.runs_by_values) == (
        2,
        3,
        2,
        5,
        3,
    )
    assert control.totals[Metric.DURATION].mean == pytest.approx(7.6009, abs=1e-3)
    assert control.totals[Metric.COST].mean == 0.5
    assert arms[Arm.TREATMENT].assigned == 0


def test_a_decided_experiment_is_stopped_with_its_winner_told_and_recorded() -> None:
    experiment = make_experiment(max_error_increase=None)
    let_have_ended(experiment, Arm.CONTROL, completed=60, failed=40)
    let_have_ended(experiment, Arm.TREATMENT, completed=100)
    assert evaluate_experiments() == 1
    over = reread(experiment)
    assert (over.status, over.winner) == ("stopped", "treatment")
    assert over.results is not None
    assert over.results["effect"]["lower"] > 0
    assert over.ended_because == "the success rate was decided at the level 0.05"
    told = Notification.objects.get(topic="experiment_ended", user=over.template.owner)
    assert "the treatment won" in told.title
    assert AuditEntry.objects.filter(action="experiment.stop", target_id=over.public_id).exists()
    assert evaluate_experiments() == 0
    assert choose_version(facts(experiment, {})) is None


def test_a_treatment_that_fails_is_rolled_back_and_nobody_gets_it_any_more() -> None:
    experiment = make_experiment()
    let_have_ended(experiment, Arm.CONTROL, completed=25)
    let_have_ended(experiment, Arm.TREATMENT, completed=3, failed=20)
    evaluate_experiments()
    over = reread(experiment)
    assert (over.status, over.winner) == ("rolled_back", "")
    assert "fails more often by 87.0 percentage points" in over.ended_because
    assert AuditEntry.objects.filter(action="experiment.roll_back", target_id=over.public_id).exists()
    assert run(experiment).version_id == over.control_id
    with pytest.raises(ExperimentStateForbids):
        promote_treatment(experiment=over, actor=over.template.owner)


def test_a_treatment_that_takes_twice_as_long_is_rolled_back() -> None:
    experiment = make_experiment(max_duration_ratio="1.2")
    let_have_ended(experiment, Arm.CONTROL, completed=25, active_ms=1_000)
    let_have_ended(experiment, Arm.TREATMENT, completed=25, active_ms=2_000)
    evaluate_experiments()
    over = reread(experiment)
    assert over.status == "rolled_back"
    assert over.ended_because.startswith("the treatment takes 1.9")


def test_harm_ends_an_experiment_also_where_an_arm_lost_its_runs() -> None:
    experiment = make_experiment()
    let_have_ended(experiment, Arm.CONTROL, completed=300)
    let_have_ended(experiment, Arm.TREATMENT, completed=20, failed=30)
    evaluate_experiments()
    assert reread(experiment).status == "rolled_back"


def test_no_winner_is_named_where_an_arm_lost_its_runs() -> None:
    experiment = make_experiment()
    let_have_ended(experiment, Arm.CONTROL, completed=150, failed=150)
    let_have_ended(experiment, Arm.TREATMENT, completed=60)
    evaluate_experiments()
    still = reread(experiment)
    assert still.status == "running"
    assert still.results is not None
    assert (still.results["sample_ratio_mismatch"], still.results["winner"]) == (True, "")


def test_an_experiment_without_news_is_not_looked_at_and_one_with_news_not_at_once_again() -> None:
    experiment = make_experiment()
    assert evaluate_experiments() == 0
    let_have_ended(experiment, Arm.CONTROL, completed=5)
    assert [evaluate_experiments(), evaluate_experiments()] == [1, 0]
    Experiment.objects.filter(pk=experiment.pk).update(news=F("news") + 1)
    assert evaluate_experiments() == 0
    Experiment.objects.filter(pk=experiment.pk).update(evaluated_at=timezone.now() - LOOK_AGAIN * 2)
    assert evaluate_experiments() == 1


def test_news_that_come_while_an_experiment_is_looked_at_are_looked_at_too() -> None:
    experiment = make_experiment()
    let_have_ended(experiment, Arm.CONTROL, completed=5)
    look = look_at(reread(experiment))
    let_have_ended(experiment, Arm.CONTROL, completed=2)
    keep_look(reread(experiment), look)
    Experiment.objects.filter(pk=experiment.pk).update(evaluated_at=None)
    assert evaluate_experiments() == 1
    results = reread(experiment).results
    assert results is not None
    assert results["control"]["completed"] == 7


def test_one_that_takes_long_to_look_at_is_looked_at_the_less_often() -> None:
    experiment = make_experiment()
    long_ago = timezone.now() - LOOK_AGAIN * 2
    Experiment.objects.filter(pk=experiment.pk).update(news=1, evaluated_at=long_ago, evaluation_ms=1_000)
    assert evaluate_experiments() == 0
    Experiment.objects.filter(pk=experiment.pk).update(evaluated_at=timezone.now() - timedelta(minutes=2))
    assert evaluate_experiments() == 1


def test_its_end_comes_with_its_time() -> None:
    experiment = make_experiment(ends_at=timezone.now() + timedelta(hours=1))
    assert evaluate_experiments() == 0
    Experiment.objects.filter(pk=experiment.pk).update(ends_at=timezone.now())
    evaluate_experiments()
    assert (reread(experiment).status, reread(experiment).winner) == ("stopped", "")


def test_a_new_version_of_the_template_ends_it_and_runs_at_once() -> None:
    experiment = make_experiment(treatment_share=99)
    template = reread(experiment).template
    revise(template, noop("a", {"by": "somebody"}))
    assert run(experiment).version_id == template.current_version_id
    evaluate_experiments()
    assert reread(experiment).ended_because == "the template's current version is 1.3.0 now"


def test_an_archived_template_ends_it() -> None:
    experiment = make_experiment()
    archive_template(template=reread(experiment).template, actor=experiment.template.owner)
    evaluate_experiments()
    assert reread(experiment).ended_because == "the template was archived"


def test_promoted_the_treatment_is_what_the_template_runs() -> None:
    experiment = make_experiment()
    owner = experiment.template.owner
    over = promote_treatment(experiment=experiment, actor=owner)
    template = reread(experiment).template
    assert (over.status, over.winner, over.promoted_version) == (
        "stopped",
        "treatment",
        template.current_version,
    )
    assert template.current_version is not None
    assert template.current_version.definition == experiment.treatment.definition
    assert promote_treatment(experiment=experiment, actor=owner).promoted_version == template.current_version
    assert Notification.objects.filter(topic="experiment_ended", user=owner).count() == 0


def test_a_treatment_is_not_promoted_over_what_came_after() -> None:
    experiment = make_experiment()
    owner = experiment.template.owner
    stop_experiment(experiment=experiment, actor=owner, reason="enough")
    revise(reread(experiment).template, noop("a", {"by": "somebody"}))
    with pytest.raises(ExperimentStateForbids, match="changed since"):
        promote_treatment(experiment=experiment, actor=owner)


def test_one_experiment_a_template_at_a_time() -> None:
    experiment = make_experiment()
    template, owner = reread(experiment).template, experiment.template.owner
    other = create_experiment(
        template=template, actor=owner, control=experiment.control, treatment=experiment.treatment,
        fields={"name": "Another"},
    )  # fmt: skip
    with pytest.raises(TemplateUnderExperiment):
        start_experiment(experiment=other, actor=owner)
    with pytest.raises(ExperimentStateForbids):
        start_experiment(experiment=experiment, actor=owner)
    with pytest.raises(ExperimentStateForbids):
        change_experiment(experiment=experiment, actor=owner, fields={"name": "x"})


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an expression without stickyBy": ({"sticky_expression": "workflow.input.a"}, "STICKY_EXPRESSION"),
    "stickyBy input without an expression": ({"sticky_by": "input"}, "STICKY_EXPRESSION"),
    "an expression that reads a secret": (
        {"sticky_by": "input", "sticky_expression": "secrets.KEY"}, "STICKY_EXPRESSION"),
    "an expression that is none": ({"sticky_by": "input", "sticky_expression": "workflow.input."}, ""),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "code"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_together_is_refused(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(ExperimentInvalid) as refusal:
        make_experiment(begin=False, **fields)
    assert not code or refusal.value.problems[0].code == code


def test_versions_that_take_different_inputs_are_not_compared() -> None:
    template = make_template([noop("a")])
    revise(template, noop("a"), inputSchema={"type": "object", "required": ["x"]})
    proposed = propose_experiment(
        template=template, actor=template.owner, treatment=get_version(template, "2"), name="N", hypothesis="H",
        metric=Metric.DURATION,
    )  # fmt: skip
    assert proposed.control.label == "1.0.0"
    with pytest.raises(ExperimentInvalid, match="another input"):
        start_experiment(experiment=proposed, actor=template.owner)
    assert get_version(template, None).label == "1.1.0"


def test_a_start_costs_templates_without_experiments_no_statement() -> None:
    template = make_template([noop("a")])
    choose_version(StartFacts(template, template.owner, {}))
    with connection.execute_wrapper(lambda *_: pytest.fail("asked the database")):
        assert choose_version(StartFacts(template, template.owner, {})) is None

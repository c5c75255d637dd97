"""Advice from real runs: recorded, replayed, suggested, accepted, measured; and who may do what with it."""

import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from executions_app import worker_identity
from executions_app.digest import digest_ended_runs
from executions_app.models import Execution, WorkerLease
from templates_app.models import Template, TemplateVersion
from templates_app.plans import compiled_version
from templates_app.selectors import current_version
from templates_app.services.templates import roll_back
from tests.advised import run, unretried, work
from tests.driver import run_until_quiet
from tests.factories import make_template, make_user, noop, start
from tests.farms import live_worker
from workflow_service.accounts.errors import Forbidden
from workflow_service.accounts.models import Role
from workflow_service.advisor.errors import SuggestionDecided, SuggestionOutdated
from workflow_service.advisor.figures import measured_in_words
from workflow_service.advisor.models import OptimizationRecord
from workflow_service.advisor.recorder import read_recordings
from workflow_service.advisor.replay import fidelity, replay
from workflow_service.advisor.services.analysis import LEAST_RUNS, analyse, score
from workflow_service.advisor.services.suggestions import accept, reject
from workflow_service.advisor.vocabulary import Kind, Status
from workflow_service.audit.models import AuditEntry

pytestmark = pytest.mark.usefixtures("db")


def the_suggestion(template: Template) -> OptimizationRecord:
    [record] = OptimizationRecord.objects.filter(template=template, status=Status.SUGGESTED)
    return record


def test_a_run_is_recorded_as_it_went_and_replays_as_long_as_it_took() -> None:
    blocks = [
        work("a", given={"seconds": 0.05}),
        work("b", "a", given={"seconds": 0.03}),
        noop("each", {"n": "${item}"}, forEach="workflow.input.items", dependencies=["b"]),
        noop("left", dependencies=["a"], conditions={"expression": "false"}),
    ]
    template = make_template(blocks)
    run(template, 3, lambda number: {"items": [1, 2, 3]})
    recordings = read_recordings(current_version(template))
    [first, *_] = recordings.runs
    by_id = {block.block_id: block for block in first.blocks}
    assert by_id["a"].seconds == pytest.approx(0.05, abs=0.03)
    assert by_id["a"].taken == {"b", "left"}
    assert len(by_id["each"].items) == 3
    assert by_id["left"].tries == ()
    assert first.seconds > 0.08
    plan = compiled_version(current_version(template).pk).plan
    assert replay(plan, recordings).failures == 0
    assert fidelity(plan, recordings) < 0.25


@pytest.mark.parametrize(("priority", "workers"), [("high", 1), ("normal", 3), ("low", 1)])
def test_workers_are_those_that_serve_the_queue_of_the_runs(
    priority: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = make_template([noop("a")])
    run_until_quiet(start(template, priority=priority))
    WorkerLease.objects.all().delete()
    for queues in (["high", "default", "low"], ["default"], ["default"], ["control"], []):
        monkeypatch.setattr(worker_identity, "_queues", tuple(queues))
        live_worker()
    gone = live_worker()
    WorkerLease.objects.filter(pk=gone).update(queues=["default"], expires_at=timezone.now())
    assert read_recordings(current_version(template)).workers == workers


def test_with_few_runs_nothing_is_suggested_and_the_report_says_why() -> None:
    template = make_template([noop("a"), noop("b", dependencies=["a"])])
    run(template, 1)
    report = analyse(template, with_model=False)
    assert report.runs == 1
    assert report.suggestions == ()
    assert str(LEAST_RUNS) in report.notes[0]
    assert report.score.total == 100
    template.refresh_from_db()
    assert template.optimization_score == 100


def test_a_draft_with_errors_is_told_so_and_has_no_points() -> None:
    template = make_template([{"blockId": "a", "name": "a"}])
    report = analyse(template, with_model=False)
    assert (report.runs, report.suggestions, report.score.total, report.potential_score) == (0, (), 0, 0)
    assert "has errors" in report.notes[0]
    assert score(template).total == 0


def test_a_fault_is_found_accepted_and_measured() -> None:
    template = unretried()
    report = analyse(template, with_model=False)
    [record] = report.suggestions
    assert (record.kind, record.type, record.blocks) == (Kind.RETRY, "reliability", ["b"])
    assert record.estimated_improvement > 90
    assert record.evidence["failed"] == 6
    assert report.score.total < report.potential_score <= 100
    assert score(template).total == report.score.total
    assert analyse(template, with_model=False).suggestions == (record,)

    accepted = accept(record, template.owner)
    template.refresh_from_db()
    version = current_version(template)
    assert accepted.accepted_version == version
    policy = compiled_version(version.pk).definition.block("b").retry_policy
    assert policy is not None
    assert policy.max_retries == 3
    assert AuditEntry.objects.filter(action="suggestion.accept", target_id=template.public_id).exists()

    run(template, 20, lambda number: {"fails": False})
    while digest_ended_runs():
        pass
    record.refresh_from_db()
    assert (record.status, record.actual_improvement) == (Status.MEASURED, 100)
    assert record.measurement is not None
    assert record.measurement["runs"] == 20
    assert record.implemented_at is not None
    before = record.measurement
    Execution.objects.filter(version=version).update(digested_generation=0)
    while digest_ended_runs():
        pass
    record.refresh_from_db()
    assert record.measurement == before


@pytest.mark.parametrize(
    ("fails", "after", "words"), [(False, 0.0, "0.0 % → 0.0 %"), (True, 1.0, "0.0 % → 100.0 %")]
)
def test_a_figure_that_was_nothing_before_is_measured_by_its_difference(
    fails: bool, after: float, words: str
) -> None:
    template = unretried()
    [record] = analyse(template, with_model=False).suggestions
    Execution.objects.filter(template=template, status="FAILED").update(status="CANCELLED")
    version = accept(record, template.owner).accepted_version
    template.refresh_from_db()
    run(template, 20, lambda number: {"fails": False})
    if fails:
        Execution.objects.filter(version=version).update(status="FAILED")
    while digest_ended_runs():
        pass
    record.refresh_from_db()
    assert (record.status, record.actual_improvement) == (Status.MEASURED, None)
    assert record.measurement is not None
    assert (record.measurement["before"], record.measurement["difference"]) == (0.0, after)
    assert measured_in_words(record) == words


def test_a_suggestion_is_decided_once_by_those_who_may_change_the_template() -> None:
    template = unretried()
    analyse(template, with_model=False)
    record = the_suggestion(template)
    viewer = make_user(template.workspace, Role.VIEWER)
    for decide in (accept, reject):
        with pytest.raises(Forbidden):
            decide(record, viewer)
    reject(record, template.owner, "it is the line that is to be mended")
    assert OptimizationRecord.objects.get(pk=record.pk).reason.startswith("it is the line")
    for decide in (accept, reject):
        with pytest.raises(SuggestionDecided):
            decide(record, template.owner)
    assert analyse(template, with_model=False).suggestions == ()
    assert TemplateVersion.objects.filter(template=template).count() == 1


def test_a_suggestion_about_an_older_version_is_not_accepted_any_more() -> None:
    template = unretried()
    analyse(template, with_model=False)
    record = the_suggestion(template)
    first = current_version(template)
    changed = {**first.definition, "globalSettings": {"maxParallelBlocks": 3}}
    TemplateVersion.objects.create(
        template=template,
        ordinal=9,
        label="0.9.0",
        definition=changed,
        definition_sha256="",
        created_by=template.owner,
    )
    roll_back(template=template, actor=template.owner, version=template.versions.get(ordinal=9))
    with pytest.raises(SuggestionOutdated):
        accept(record, template.owner)
    assert OptimizationRecord.objects.get(pk=record.pk).status == Status.SUGGESTED
    analyse(Template.objects.get(pk=template.pk), with_model=False)
    assert OptimizationRecord.objects.get(pk=record.pk).status == Status.OUTDATED


def test_two_who_accept_at_once_make_one_version() -> None:
    template = unretried()
    analyse(template, with_model=False)
    record = the_suggestion(template)
    refused: list[Exception] = []

    def try_to() -> None:
        from django.db import connection

        try:
            accept(OptimizationRecord.objects.get(pk=record.pk), template.owner)
        except (SuggestionDecided, SuggestionOutdated) as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=try_to) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert TemplateVersion.objects.filter(template=template).count() == 2


def test_runs_that_are_older_are_not_looked_at() -> None:
    template = make_template([noop("a")])
    run(template, 2)
    report = analyse(template, timezone.now() + timedelta(hours=1), with_model=False)
    assert report.runs == 0

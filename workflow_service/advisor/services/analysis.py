"""Writes: an analysis, which replaces the open suggestions of a template by those that hold now.

Recorded runs are read, replayed and, where a language model is wanted, talked about outside of any transaction; what
came of it is written in one. An analysis that dies has written nothing, and one that is done twice the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from templates_app.models import Template, TemplateVersion
from templates_app.selectors import current_version
from templates_app.services.known_work import block_effect, known_outputs
from templates_app.services.locks import lock_template
from templates_app.services.validation import validate_definition
from workflow_service.accounts.models import User
from workflow_service.advisor.counsel import Counsel, Words, seek_counsel
from workflow_service.advisor.detectors import detect, held_back
from workflow_service.advisor.ideas import Case, Idea, ModelPrice, Weighed
from workflow_service.advisor.models import OptimizationRecord
from workflow_service.advisor.recorder import read_recordings
from workflow_service.advisor.recordings import Recordings
from workflow_service.advisor.replay import Outlook, Unending, fidelity, replay
from workflow_service.advisor.report import Report
from workflow_service.advisor.scoring import Score, Standing, potential_of, score_of
from workflow_service.advisor.vocabulary import Kind, Source, Status
from workflow_service.advisor.weighing import priority_of, weigh
from workflow_service.agents.catalog import list_agents
from workflow_service.ai.providers import configured_providers
from workflow_service.engine.definition import Definition
from workflow_service.engine.documents import dump_definition, load_definition
from workflow_service.engine.errors import InvalidDefinition
from workflow_service.engine.findings import Severity, errors_in

LOOKS_BACK = timedelta(days=30)
LEAST_RUNS = 20
MOST_MISSED = 0.10


def analyse(
    template: Template, since: datetime | None = None, *, actor: User | None = None, with_model: bool = True
) -> Report:
    """Analyse a template's current version by its runs since ``since`` (30 days) and keep what is suggested.

    ``actor`` is who a language model is asked for, if one is; ``with_model`` False leaves it to the rules. With fewer
    than 20 runs nothing is suggested. Rejected suggestions are not made again. Raises ``TemplateArchived``.
    """
    since = since or timezone.now() - LOOKS_BACK
    version = current_version(template)
    definition = load_definition(version.definition)
    try:
        recordings = read_recordings(version, since)
        case = _case(template, definition, recordings)
        now, weighed, notes = _weighed(case)
    except InvalidDefinition:
        notes = ("The definition has errors: it is analysed when it can run.",)
        return _keep(template, version, since, Recordings(()), Standing(has_errors=True), (), notes)
    counsel = Counsel()
    if with_model and not notes:
        further = list(held_back(case))
        counsel = seek_counsel(case, now, weighed, further, template, actor)
        weighed = (*weighed, *_borne_out(case, counsel, further))
        notes = (counsel.note,) if counsel.note else ()
    standing = _standing(template, definition, recordings, now, weighed)
    return _keep(template, version, since, recordings, standing, weighed, notes, counsel)


def score(template: Template, since: datetime | None = None) -> Score:
    """Return the optimization score of a template's current version now; nothing is written, no model asked."""
    version = current_version(template)
    definition = load_definition(version.definition)
    try:
        recordings = read_recordings(version, since or timezone.now() - LOOKS_BACK)
        now, weighed, _ = _weighed(_case(template, definition, recordings))
    except InvalidDefinition:
        return score_of(Standing(has_errors=True))
    return score_of(_standing(template, definition, recordings, now, weighed))


def _case(template: Template, definition: Definition, recordings: Recordings) -> Case:
    agents = list_agents(template.workspace_id)
    return Case(
        definition,
        recordings,
        {block.block_id: block_effect(block, agents) for block in definition.blocks},
        known_outputs(definition, agents),
        tuple(
            ModelPrice(model.name, float(model.input_usd_per_m_tok), float(model.output_usd_per_m_tok))
            for provider in configured_providers()
            for model in provider.models
        ),
    )


def _weighed(case: Case) -> tuple[Outlook, tuple[Weighed, ...], tuple[str, ...]]:
    runs = len(case.recordings.runs)
    if runs < LEAST_RUNS:
        ended = "run has" if runs == 1 else "runs have"
        note = f"{runs} {ended} ended; suggestions are made from {LEAST_RUNS} on."
        return replay(case.plan, case.recordings), (), (note,)
    try:
        missed = fidelity(case.plan, case.recordings)
        if missed > MOST_MISSED:
            note = f"A replay of these runs misses their durations by {missed:.0%}: nothing is estimated from it."
            return replay(case.plan, case.recordings), (), (note,)
        return *weigh(case, detect(case)), ()
    except Unending:
        return Outlook(0, 0, 0, 0), (), ("The runs have more steps than a replay takes.",)


def _borne_out(case: Case, counsel: Counsel, further: Sequence[Idea]) -> tuple[Weighed, ...]:
    """Return the ideas that a model picked which a replay bears out."""
    picked = [replace(further[place], source=Source.MODEL) for place in counsel.picked]
    return weigh(case, picked)[1] if picked else ()


def _standing(
    template: Template,
    definition: Definition,
    recordings: Recordings,
    now: Outlook,
    weighed: Sequence[Weighed],
) -> Standing:
    findings = validate_definition(definition, template.workspace, template)
    return Standing(
        runs=len(recordings.runs),
        failure_share=now.failures,
        left_failure_share=min((each.left_failures for each in weighed), default=now.failures),
        left_duration=_together(each.left_duration for each in weighed),
        left_cost=_together(each.left_cost for each in weighed),
        warnings=sum(finding.severity is Severity.WARNING for finding in findings),
        dead_ways=sum(each.idea.kind is Kind.DEAD_BRANCH for each in weighed),
        has_errors=bool(errors_in(findings)),
    )


def _together(shares: Iterable[float]) -> float:
    """Return what is left where each of several changes leaves its share of the whole."""
    left = 1.0
    for share in shares:
        left *= share
    return left


def _keep(
    template: Template,
    version: TemplateVersion,
    since: datetime,
    recordings: Recordings,
    standing: Standing,
    weighed: Sequence[Weighed],
    notes: tuple[str, ...],
    counsel: Counsel = Counsel(),  # noqa: B008 -- an immutable value
) -> Report:
    found = score_of(standing)
    potential = potential_of(standing)
    with transaction.atomic():
        locked = lock_template(template, archived_too=True)
        if locked.current_version_id == version.pk:
            records = _replace_open(locked, version, weighed, counsel)
            Template.objects.filter(pk=template.pk).update(
                optimization_score=found.total,
                last_optimization_check=timezone.now(),
                ai_suggestions=[{"type": each.type, "message": each.title} for each in records],
            )
        else:
            records = []
            notes = (*notes, "The template got another version meanwhile: analyse it again.")
    return Report(
        template, version, since, len(recordings.runs), found, potential, tuple(records), counsel.model, notes
    )


def _replace_open(
    template: Template, version: TemplateVersion, weighed: Sequence[Weighed], counsel: Counsel
) -> list[OptimizationRecord]:
    rows = OptimizationRecord.objects.filter(template=template)
    refused = set(rows.filter(status=Status.REJECTED).values_list("kind", "subject"))
    wanted = {
        (each.idea.kind.value, each.idea.subject): (each, counsel.words.get(place))
        for place, each in enumerate(weighed)
        if (each.idea.kind.value, each.idea.subject) not in refused
    }
    known = {(row.kind, row.subject): row for row in rows.filter(status=Status.SUGGESTED)}
    gone = [row.pk for key, row in known.items() if key not in wanted]
    rows.filter(pk__in=gone).update(status=Status.OUTDATED, updated_at=timezone.now())
    records = []
    for key, (each, words) in wanted.items():
        record = known.get(key) or OptimizationRecord(
            workspace=template.workspace, template=template, kind=key[0], subject=key[1]
        )
        _fill(record, version, each)
        _say(record, words, counsel.model, each.idea.condition)
        record.save()
        records.append(record)
    return sorted(records, key=lambda record: (record.priority, -record.estimated_improvement, record.pk))


def _say(record: OptimizationRecord, words: Words | None, model: str, condition: str) -> None:
    """Let a model's words stand in place of the rules', where it has some; the condition stays."""
    if words is not None:
        record.title, record.priority = words.title[:200], words.priority
        record.description = words.description
    condition = condition[:500]
    record.description = f"{record.description[: 999 - len(condition)]} {condition}".rstrip()
    record.ai_reasoning = words.reasoning[:2_000] if words is not None else ""
    record.worded_by = model[:200] if words is not None else ""


def _fill(record: OptimizationRecord, version: TemplateVersion, weighed: Weighed) -> None:
    idea = weighed.idea
    record.base_version = version
    record.blocks = list(idea.blocks)
    record.type, record.measure, record.source = idea.type, idea.measure, idea.source
    record.title, record.description = idea.title[:200], idea.description
    record.estimated_improvement = max(1, min(100, round(weighed.share * 100)))
    record.implementation_effort = idea.effort
    record.priority = priority_of(weighed)
    record.proposed_changes = dict(idea.proposed_changes)
    record.evidence = {
        **idea.evidence,
        "replay": {"measure": idea.measure.value, "before": weighed.before, "after": weighed.after},
    }
    record.definition = dump_definition(weighed.definition)

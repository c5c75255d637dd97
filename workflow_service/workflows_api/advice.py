"""What can be said of a definition before any run of it has ended: its score and suggestions, by rules.

Once runs have ended the advisor says more (``workflow_service/advisor``); what it found last is kept on the
template and holds for the version it looked at.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from templates_app.models import Template, TemplateVersion
from templates_app.services.validation import validate_definition
from workflow_service.advisor.scoring import Standing, score_of
from workflow_service.advisor.vocabulary import Type
from workflow_service.engine.documents import load_definition
from workflow_service.engine.findings import Finding, Severity, errors_in
from workflow_service.engine.recommendations import Recommendation

MAX_SUGGESTIONS = 20
# What a recommendation's code is good for; the others, and warnings, are about runs that do not end well.
_TYPES = {"OPTIMIZATION": Type.PERFORMANCE}


@dataclass(frozen=True, slots=True)
class Advice:
    """A score (0 to 100), and suggestions as document B shows them (``type``, ``message``)."""

    score: int
    suggestions: tuple[dict[str, str], ...]


def first_advice(findings: Sequence[Finding], improvements: Iterable[str] = ()) -> Advice:
    """Return what ``findings`` about a definition, and what its words left open, come to.

    A definition that cannot run has a score of 0: nothing about it is good until it can.
    """
    told = [
        {"type": _TYPES.get(one.code, Type.RELIABILITY).value, "message": _sentence(one)}
        for one in findings
        if isinstance(one, Recommendation) or one.severity is Severity.WARNING
    ]
    told += [{"type": Type.RELIABILITY.value, "message": one} for one in improvements]
    warnings = sum(one.severity is Severity.WARNING for one in findings)
    score = score_of(Standing(warnings=warnings, has_errors=bool(errors_in(findings)))).total
    return Advice(score, tuple(told[:MAX_SUGGESTIONS]))


def keep_advice(template: Template, advice: Advice) -> None:
    """Write down on a template what was found of its current version, without touching when it was changed."""
    template.optimization_score = advice.score
    template.ai_suggestions = list(advice.suggestions)
    template.last_optimization_check = timezone.now()
    Template.objects.filter(pk=template.pk).update(
        optimization_score=template.optimization_score,
        ai_suggestions=template.ai_suggestions,
        last_optimization_check=template.last_optimization_check,
    )


def advice_on(template: Template, version: TemplateVersion) -> Advice:
    """Return what is known of a version: what was found when it was last looked at, else what the rules say now."""
    checked = template.last_optimization_check
    if template.optimization_score is not None and checked and checked >= version.created_at:
        kept: list[dict[str, Any]] = template.ai_suggestions or []
        return Advice(template.optimization_score, tuple(kept))
    return first_advice(
        validate_definition(load_definition(version.definition), template.workspace, template)
    )


def _sentence(finding: Finding) -> str:
    mend = f". {finding.suggestion}" if finding.suggestion else ""
    return f"{finding.message}{mend}"

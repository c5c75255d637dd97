"""A verdict: which ways a decision takes and why, and what is kept of it in the run and beside it."""

from dataclasses import dataclass, field
from decimal import Decimal

from pydantic import JsonValue

from workflow_service.decisions.cases import Case
from workflow_service.decisions.like_cases import Precedent
from workflow_service.decisions.model_answer import Opinion, Spent, spent_on
from workflow_service.decisions.models import Decision
from workflow_service.engine.decision import Choice
from workflow_service.engine.definition import JsonObject

Source = Decision.Source


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is decided, by whom, and why. ``opinion`` is what a model said, whether or not that is what is done."""

    keys: tuple[str, ...]
    source: Decision.Source
    reasoning: str
    confidence: float | None = None
    opinion: Opinion | None = field(default=None, compare=False)
    decided_by: str = ""


def verdict_of_opinion(opinion: Opinion) -> Verdict:
    source = Source.CACHE if opinion.cached else Source.MODEL
    return Verdict(opinion.keys, source, opinion.reasoning, opinion.confidence, opinion)


def verdict_of_precedent(precedent: Precedent, why: str = "") -> Verdict:
    """Return what like cases decide; their confidence is the share of them that agree."""
    confidence = 100.0 * precedent.agreeing / precedent.seen
    reasoning = f"{why}: {precedent.words}" if why else precedent.words
    return Verdict(precedent.keys, Source.HISTORY, reasoning, confidence)


def output_of(case: Case, verdict: Verdict) -> JsonObject:
    """Return the output of a DECIDE row: the edges taken, and all that is told and kept of the decision.

    Raises ``ValueError`` where the verdict names what is not open: then nothing of it is taken.
    """
    edges: list[JsonValue] = list(case.choice.edges_of(verdict.keys))
    return {
        "edges": edges,
        "decision": list(verdict.keys),
        "source": verdict.source.value,
        "reasoning": verdict.reasoning,
        "confidence": verdict.confidence,
        "decidedBy": verdict.decided_by,
        **facts_of(case, verdict.opinion),
        "conditions": _conditions(case.choice, verdict.keys),
    }


def facts_of(case: Case, opinion: Opinion | None) -> JsonObject:
    """Return what is kept of a decision whoever makes it: what was asked, of what, and what asking models cost."""
    # Where nothing is left to ask, no model was asked.
    spent = spent_on(case) if case.choice.options else Spent(Decimal(0), 0)
    return {
        "question": case.asked,
        "options": [
            {"key": way.key, "text": way.text, "targets": list(way.targets)} for way in case.choice.ways
        ],
        "model": opinion.model if opinion else "",
        "prompt": opinion.prompt if opinion else "",
        "costUsd": str(spent.cost_usd),
        "tokens": spent.tokens,
        "cached": opinion.cached if opinion else False,
        "case": case.sha256,
        "shown": case.shown,
    }


def _conditions(choice: Choice, keys: tuple[str, ...]) -> JsonValue:
    """Return what was read on the way: the conditions, and the questions up to the one that is taken."""
    read: list[JsonValue] = [{"condition": text, "result": holds} for text, holds in choice.read]
    for option in choice.options:
        read.append({"condition": f'"{option.text}"', "result": option.key in keys})
        if option.key in keys and not choice.many:
            break
    return read

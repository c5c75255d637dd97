"""What a language model may do to advice, in every mood: rank and word it, pick from a list, and nothing else."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import JsonValue

from templates_app.models import Template
from tests.advised import run, unretried, work
from tests.factories import make_template, noop
from tests.moods import BAD_MOODS, Mood, in_mood
from workflow_service.advisor.services.analysis import analyse
from workflow_service.advisor.vocabulary import Kind, Source
from workflow_service.ai import answer_cache
from workflow_service.ai.models import Budget, LlmUsage
from workflow_service.settings.config import get_config

pytestmark = pytest.mark.usefixtures("db")

SAID = {
    "title": "Second chances",
    "description": "The line drops now and then.",
    "reasoning": "Six of 24 failed.",
}


@pytest.fixture(scope="module")
def template(db: None) -> Template:
    return unretried()


@pytest.fixture(autouse=True)
def no_answers_at_hand() -> None:
    """Forget what models answered in other tests: the question is the same."""
    redis = answer_cache._redis(get_config().broker_url())
    for key in redis.scan_iter(f"{answer_cache.PREFIX}*"):
        redis.delete(key)


def say(body: dict[str, Any]) -> JsonValue:
    """Word every candidate, as urgent as can be; pick every further idea."""
    text = "\n".join(str(message["content"]) for message in body["messages"])
    ids = [name for name in ("s1", "s2", "s3") if f'"{name}"' in text]
    picked = [name for name in ("i1", "i2", "i3") if f'"{name}"' in text]
    return {"suggestions": [{"id": name, "priority": 1, **SAID} for name in ids], "ideas": list(picked)}


def test_a_good_model_ranks_and_words_and_changes_no_figure(template: Template) -> None:
    [by_rules] = analyse(template, with_model=False).suggestions
    with in_mood("good", say) as server:
        report = analyse(template, actor=template.owner)
        again = analyse(template, actor=template.owner)
        assert len(server.requests) == 1, "the second is answered from the cache"
    [record] = report.suggestions
    assert report.model
    told = f"{SAID['description']} Only if 'b' may be done twice: what it does outside is not known."
    assert (record.title, record.description, record.ai_reasoning) == (
        SAID["title"],
        told,
        SAID["reasoning"],
    )
    assert (record.priority, record.worded_by, record.source) == (1, report.model, Source.RULES)
    assert record.estimated_improvement == by_rules.estimated_improvement
    assert record.definition == by_rules.definition
    assert again.suggestions == (record,)
    [usage, *_] = LlmUsage.objects.filter(template_id=template.public_id).order_by("pk")
    assert (usage.operation, usage.user_id) == ("advise", template.owner_id)


@pytest.mark.parametrize("mood", BAD_MOODS)
def test_in_no_mood_is_advice_lost_or_changed(template: Template, mood: Mood) -> None:
    [by_rules] = analyse(template, with_model=False).suggestions
    with in_mood(mood, say):
        report = analyse(template, actor=template.owner)
    [record] = report.suggestions
    assert report.model == record.worded_by == ""
    assert (record.title, record.priority, record.description) == (
        by_rules.title,
        by_rules.priority,
        by_rules.description,
    )
    assert "ranked and worded by rules" in report.notes[0]


def test_without_a_budget_nothing_is_asked(template: Template) -> None:
    budget = Budget.objects.create(workspace=template.workspace, scope="workspace", limit_usd=Decimal(0))
    try:
        with in_mood("good", say) as server:
            report = analyse(template, actor=template.owner)
            assert server.requests == []
        assert "BUDGET_EXCEEDED" in report.notes[0]
        assert len(report.suggestions) == 1
    finally:
        budget.delete()


def test_what_a_model_picks_is_replayed_and_says_whose_idea_it_was() -> None:
    """The use case's effects are not known, so the rules do not propose to keep its answers."""
    given = {"seconds": 0.03, "of": "${workflow.input.city}"}
    template = make_template(
        [noop("a"), work("ask", "a", given=given), noop("c", {"y": "${done}"}, dependencies=["ask"])]
    )
    run(template, 20, lambda number: {"city": "Oslo"})
    assert Kind.CACHE not in [record.kind for record in analyse(template, with_model=False).suggestions]
    with in_mood("good", say):
        report = analyse(template, actor=template.owner)
    [record] = [record for record in report.suggestions if record.kind == Kind.CACHE]
    assert record.source == Source.MODEL
    assert record.worded_by == ""
    assert "Only if 'ask' changes nothing: what it does outside is not known." in record.description
    assert record.estimated_improvement > 10

"""A language model's counsel: it ranks and words what rules found, and may pick further ideas out of a closed list.

What it picks is replayed like any other idea; what it says is text beside the numbers, and changes no estimate, no
definition and no candidate. It is shown the graph, names and figures, never data, messages or configurations. Where no
model is set, answers in time or fits the budget, the rules' own words stand.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from pydantic import JsonValue

from templates_app.models import Template
from workflow_service.accounts.models import User
from workflow_service.advisor.ideas import Case, Idea, Weighed
from workflow_service.advisor.recordings import mean, quantile
from workflow_service.advisor.replay import Outlook
from workflow_service.ai.client import LlmRequest, UsageContext, ask, is_configured
from workflow_service.ai.errors import NotConfigured
from workflow_service.engine.dsl import render_dsl
from workflow_service.engine.errors import WorkflowError

logger = logging.getLogger(__name__)

PROMPT = "optimize_workflow"
OPERATION = "advise"
MAX_USD = Decimal("0.25")
TIMEOUT_S = 30.0
MAX_DSL = 20_000
MAX_STATES = 100
MAX_REPAIRS = 1


@dataclass(frozen=True, slots=True)
class Words:
    """What a model says of one candidate."""

    title: str
    description: str
    reasoning: str
    priority: int


@dataclass(frozen=True, slots=True)
class Counsel:
    """What a model said: its words by the place of the candidate, and the further ideas it thinks worth a replay.

    ``model`` is empty where none answered; ``note`` then says why, where one was set.
    """

    words: Mapping[int, Words] = field(default_factory=dict)
    picked: tuple[int, ...] = ()
    model: str = ""
    note: str = ""


def seek_counsel(
    case: Case,
    now: Outlook,
    weighed: Sequence[Weighed],
    further: Sequence[Idea],
    template: Template,
    actor: User | None,
) -> Counsel:
    """Ask a model about candidates; to be called outside of any transaction. Never fails: rules do without it."""
    if not is_configured() or not (weighed or further):
        return Counsel()
    ids = [f"s{number}" for number in range(1, len(weighed) + 1)]
    ideas = [f"i{number}" for number in range(1, len(further) + 1)]

    def check(answer: JsonValue) -> list[str]:
        return _problems(answer, ids, ideas)

    request = LlmRequest(
        PROMPT,
        _variables(case, now, dict(zip(ids, weighed, strict=True)), dict(zip(ideas, further, strict=True))),
        operation=OPERATION,
        check=check,
        max_repairs=MAX_REPAIRS,
        max_cost_usd=MAX_USD,
        timeout_s=TIMEOUT_S,
    )
    context = UsageContext(
        workspace_id=template.workspace_id,
        user_id=actor.pk if actor else None,
        template_id=template.public_id,
    )
    try:
        answer = ask(request, context)
    except NotConfigured:
        return Counsel()
    except WorkflowError as error:
        logger.info("no counsel about %s: %s", template.public_id, error.code)
        return Counsel(note=f"No language model gave counsel ({error.code}): ranked and worded by rules.")
    said = answer.value if isinstance(answer.value, dict) else {}
    return _counsel(said, ids, ideas, answer.model)


def _counsel(said: Mapping[str, JsonValue], ids: Sequence[str], ideas: Sequence[str], model: str) -> Counsel:
    words: dict[int, Words] = {}
    for each in _objects(said.get("suggestions")):
        words[ids.index(str(each["id"]))] = Words(
            str(each["title"]),
            str(each["description"]),
            str(each.get("reasoning", "")),
            int(str(each["priority"])),
        )
    picked = said.get("ideas")
    names = [str(name) for name in picked] if isinstance(picked, list) else []
    return Counsel(words, tuple(ideas.index(name) for name in dict.fromkeys(names)), model)


def _problems(answer: JsonValue, ids: Sequence[str], ideas: Sequence[str]) -> list[str]:
    said = answer if isinstance(answer, dict) else {}
    named = [str(each.get("id")) for each in _objects(said.get("suggestions"))]
    problems = [f"there is no candidate '{name[:20]}'" for name in named if name not in ids]
    problems += [f"candidate '{name}' is missing" for name in ids if name not in named]
    if len(set(named)) < len(named):
        problems.append("each candidate is to be there once")
    picked = said.get("ideas")
    for name in picked if isinstance(picked, list) else ():
        if name not in ideas:
            problems.append(f"there is no further idea '{str(name)[:20]}'")
    return problems


def _objects(value: JsonValue) -> list[dict[str, JsonValue]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _variables(
    case: Case, now: Outlook, weighed: Mapping[str, Weighed], further: Mapping[str, Idea]
) -> dict[str, JsonValue]:
    runs = case.recordings.runs
    seconds = [run.seconds for run in runs]
    return {
        "workflow_dsl": render_dsl(case.definition)[:MAX_DSL],
        "statistics": json.dumps(
            {
                "runs": len(runs),
                "failedShare": round(now.failures, 4),
                "meanSeconds": round(mean(seconds), 3),
                "p95Seconds": round(quantile(seconds, 0.95), 3),
                "meanUsd": round(now.cost, 6),
            }
        ),
        "state_performance": json.dumps(_states(case)),
        "error_analysis": json.dumps(_errors(case)),
        "candidates": json.dumps(
            [_shown(name, each.idea) | _figures(each) for name, each in weighed.items()]
        ),
        "more_ideas": json.dumps([_shown(name, idea) for name, idea in further.items()]),
    }


def _shown(name: str, idea: Idea) -> dict[str, JsonValue]:
    return {
        "id": name,
        "kind": idea.kind.value,
        "blocks": list(idea.blocks),
        "title": idea.title,
        "description": f"{idea.description} {idea.condition}".rstrip(),
        "evidence": dict(idea.evidence),
    }


def _figures(weighed: Weighed) -> dict[str, JsonValue]:
    return {
        "measure": weighed.idea.measure.value,
        "before": round(weighed.before, 6),
        "after": round(weighed.after, 6),
        "savedPercent": round(weighed.share * 100),
        "effort": weighed.idea.effort.value,
    }


def _states(case: Case) -> list[JsonValue]:
    found: list[JsonValue] = []
    for block in case.definition.blocks[:MAX_STATES]:
        worked = case.recordings.worked(block.block_id)
        found.append(
            {
                "state": block.block_id,
                "tool": str(block.tool_type or ""),
                "worked": len(worked),
                "failed": sum(each.failed for each in worked),
                "meanSeconds": round(mean(each.seconds for each in worked), 3),
                "tries": sum(len(each.tries) for each in worked),
            }
        )
    return found


def _errors(case: Case) -> dict[str, JsonValue]:
    counted: dict[str, JsonValue] = {}
    for block in case.definition.blocks[:MAX_STATES]:
        for each in case.recordings.worked(block.block_id):
            for one in each.tries:
                if one.error_type:
                    key = f"{block.block_id}: {one.error_type}"
                    counted[key] = int(str(counted.get(key, 0))) + 1
    return counted

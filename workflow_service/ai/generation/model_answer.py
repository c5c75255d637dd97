"""A language model's answer to a goal: its schema, what is wrong with it, and the flow it stands for.

Everything in it is checked, and said to the model in sentences it can act on; nothing is mended in silence.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from workflow_service.agents.selection import AgentInfo, nearest_agent
from workflow_service.ai.generation.flow import Flow, Step, StepKind, Way, closed
from workflow_service.ai.generation.preferences import Wishes
from workflow_service.engine.definition import BLOCK_ID, END, START, JsonObject
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import compile_condition
from workflow_service.engine.findings import nearest_name_hint

PROMPT = "generate_workflow"
MAX_STEPS = 500
MAX_AGENTS_SHOWN = 60
MAX_CAPABILITIES_SHOWN = 40
MAX_PROBLEMS = 20
_ELSE = frozenset({"else", "otherwise", "default"})


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NextAnswer(_Closed):
    to: str = Field(max_length=100)
    when: str | None = Field(None, max_length=500)


class StepAnswer(_Closed):
    id: str = Field(max_length=100)
    title: str = Field(min_length=1, max_length=255)
    kind: StepKind = StepKind.WORK
    agent: str | None = Field(None, max_length=100)
    capability: str | None = Field(None, max_length=200)
    who: str | None = Field(None, max_length=100)
    for_each: str | None = Field(None, max_length=100)
    retries: int | None = Field(None, ge=0, le=100)
    seconds: int | None = Field(None, ge=1, le=31_536_000)
    next: list[NextAnswer] = Field(default=[], max_length=50)
    on_error: list[str] = Field(default=[], max_length=20)


class FlowAnswer(_Closed):
    """The whole answer, as the prompt asks for it."""

    name: str = Field(min_length=1, max_length=255)
    description: str = Field("", max_length=2_000)
    steps: list[StepAnswer] = Field(min_length=1, max_length=MAX_STEPS)
    notes: list[str] = Field(default=[], max_length=20)
    improvements: list[str] = Field(default=[], max_length=20)


def answer_schema() -> JsonObject:
    """Return the JSON Schema of a model's answer."""
    schema: JsonObject = FlowAnswer.model_json_schema()
    return schema


def prompt_variables(goal: str, agents: Sequence[AgentInfo], wishes: Wishes) -> Mapping[str, JsonValue]:
    """Return what the prompt is filled with."""
    shown = [
        {
            "id": agent.agent_id,
            "name": agent.name,
            "description": agent.description,
            "capabilities": [one.name for one in agent.capabilities][:MAX_CAPABILITIES_SHOWN],
        }
        for agent in agents[:MAX_AGENTS_SHOWN]
        if agent.available
    ]
    return {"goal": goal, "agents": json.dumps(shown, ensure_ascii=False), "wishes": _said(wishes)}


def read_answer(value: JsonValue) -> FlowAnswer:
    """Return a checked answer; raises ``ValidationError``."""
    return FlowAnswer.model_validate(value)


def answer_problems(value: JsonValue, agents: Sequence[AgentInfo], wishes: Wishes) -> list[str]:
    """Return what is wrong with an answer, in sentences for the model that gave it; an empty list: nothing."""
    try:
        answer = read_answer(value)
    except ValidationError as error:
        return [
            f"{'.'.join(map(str, one['loc'])) or 'the answer'}: {one['msg']}"
            for one in error.errors(include_url=False)[:MAX_PROBLEMS]
        ]
    names = [step.id for step in answer.steps]
    problems = [
        f"Two steps are called '{name}'." for name in sorted({one for one in names if names.count(one) > 1})
    ]
    if wishes.max_blocks is not None and len(names) > wishes.max_blocks:
        problems.append(f"There are {len(names)} steps; at most {wishes.max_blocks} are allowed.")
    for step in answer.steps:
        problems += _step_problems(step, frozenset(names), agents)
    return problems[:MAX_PROBLEMS]


def flow_of(answer: FlowAnswer) -> Flow:
    """Return the flow that a checked answer stands for."""
    steps = tuple(
        Step(
            one.id,
            one.title,
            kind=one.kind,
            who=one.who or "",
            agent=one.agent or "",
            capability=one.capability or "",
            for_each=one.for_each or "",
            retries=one.retries,
            duration_ms=None if one.seconds is None else one.seconds * 1_000,
        )
        for one in answer.steps
    )
    ways = [Way((START,), steps[0].id)]
    for one in answer.steps:
        for following in one.next:
            default = following.when is not None and following.when.strip().lower() in _ELSE
            condition = None if default or following.when is None else following.when.strip()
            ways.append(Way((one.id,), following.to, condition, is_default=default))
        ways += [Way((one.id,), name, on_error=True) for name in one.on_error]
    return closed(Flow(steps, tuple(ways), answer.name, answer.description)).with_notes(answer.notes)


def _step_problems(step: StepAnswer, names: frozenset[str], agents: Sequence[AgentInfo]) -> list[str]:
    problems = []
    if not BLOCK_ID.fullmatch(step.id) or step.id in (START, END):
        problems.append(f"'{step.id}' is no id of a step: use lower case letters, digits and underscores.")
    for target in (*(one.to for one in step.next), *step.on_error):
        if target not in names and target != END:
            hint = nearest_name_hint(target, names)
            problems.append(f"Step '{step.id}' leads to '{target}', which is no step. {hint}".strip())
    for following in step.next:
        if following.when is not None and following.when.strip().lower() not in _ELSE:
            try:
                compile_condition(following.when)
            except ExpressionError as error:
                problems.append(
                    f"Step '{step.id}': the condition '{following.when}' is not one: {error.message}"
                )
    return problems + _agent_problems(step, agents)


def _agent_problems(step: StepAnswer, agents: Sequence[AgentInfo]) -> list[str]:
    if not step.agent:
        return []
    agent = next((one for one in agents if one.agent_id == step.agent), None)
    if agent is None:
        near = nearest_agent(step.agent, agents)
        mend = f"did you mean '{near}'?" if near else "leave 'agent' out."
        return [f"Step '{step.id}': there is no agent '{step.agent}'; {mend}"]
    if step.capability and not agent.can(step.capability):
        known = ", ".join(one.name for one in agent.capabilities[:10]) or "none"
        return [
            f"Step '{step.id}': agent '{step.agent}' has no capability '{step.capability}'; it has {known}."
        ]
    return []


def _said(wishes: Wishes) -> str:
    said: dict[str, Any] = {
        "at most so many steps": wishes.max_blocks,
        "agents to prefer": list(wishes.preferred_agents) or None,
        "run in parallel what can be": wishes.parallel,
        "have a person approve": wishes.human_approval,
        "handling of failures": wishes.error_handling.value,
        "context": wishes.context or None,
    }
    return json.dumps({key: value for key, value in said.items() if value is not None}, ensure_ascii=False)

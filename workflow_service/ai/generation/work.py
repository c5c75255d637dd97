"""Who does a step: an agent that can, else a language model where the work is one of thought, else a person.

Never nobody, and never one who would only say that it is done: a model is not asked to deploy or to pay.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workflow_service.agents.configuration import configuration_errors
from workflow_service.agents.selection import AgentInfo, Capability
from workflow_service.ai.english.verbs import base_of
from workflow_service.ai.english.word_lists import words
from workflow_service.ai.generation.facts import Fact
from workflow_service.ai.generation.flow import Step, StepKind
from workflow_service.ai.generation.matching import find_matches
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import ToolType

# What a model can do by thinking alone, on what earlier steps have found.
THOUGHT = words(
    """
    analyse analyze answer appraise assess categorise categorize check classify compare compose condense decide describe
    detect determine diagnose draft estimate evaluate explain extract find forecast generate grade identify interpret
    judge label match moderate outline parse plan predict prepare prioritise prioritize propose qualify rank rate
    recommend rephrase review revise rewrite score screen segment select sort study suggest summarise summarize
    translate triage validate verify weigh write
    """
)
_TITLE_FIELDS = words("subject title name heading label topic")
_TEXT_FIELDS = words("body text message content description note")
_MARK = re.compile(r"\W+")


@dataclass(frozen=True, slots=True)
class Offers:
    """Who there is to do the work. ``preferred`` are agent ids, the most wanted first."""

    agents: tuple[AgentInfo, ...] = ()
    llm: bool = False
    preferred: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Work:
    """What a block gets: ``fields`` of the definition, and the ``inputs`` that its configuration reads from the run's.

    ``by`` says who does it, in words.
    """

    fields: JsonObject
    by: str
    inputs: JsonObject = field(default_factory=dict)
    required: tuple[str, ...] = ()


def find_work(step: Step, facts: Sequence[Fact], offers: Offers, *, people_only: bool = False) -> Work:
    """Return the work of a step that has to tell ``facts`` when it is done."""
    if step.kind is StepKind.APPROVAL:
        return _approval(step, facts)
    if step.kind is StepKind.PAUSE:
        return Work(
            {"toolType": "WAIT", "configuration": {"duration": step.duration_ms or 60_000}}, "the clock"
        )
    if step.kind is StepKind.SIGNAL and not facts:
        return _signal(step)
    if step.kind is StepKind.TRIGGER and not facts:
        return _trigger(step)
    if not people_only:
        for work in _by_agents(step, facts, offers):
            return work
        if offers.llm and step.kind is StepKind.WORK and _is_thought(step):
            return _by_model(step, facts)
    return _by_person(step, facts)


def input_name(text: str) -> str:
    """Return a name for something in the run's input: "the uploaded file" is ``uploaded_file``."""
    return _MARK.sub("_", text.strip().lower()).strip("_")[:60] or "value"


def _approval(step: Step, facts: Sequence[Fact]) -> Work:
    asked: JsonObject = {"required": True, "type": "APPROVAL", "message": step.title}
    if step.who:
        asked["approvalLevel"] = step.who[:100]
    if facts:
        asked["inputSchema"] = _form(facts)
    return Work({"toolType": "HUMAN", "humanInLoop": asked}, f"approval by {step.who or 'an approver'}")


def _signal(step: Step) -> Work:
    name = step.signal or step.id
    configuration: JsonObject = {"signal": name}
    if step.timeout_ms:
        configuration["timeout"] = step.timeout_ms
    return Work({"toolType": "WAIT", "configuration": configuration}, f"the signal '{name}'")


def _trigger(step: Step) -> Work:
    """Take what the run was started with into its context, where later steps find it."""
    name = input_name(step.signal or step.id)
    configuration: JsonObject = {
        "useCase": "json.select",
        "input": {"value": "${workflow.input}", "paths": {name: name}, "missing": "null"},
    }
    return Work(
        {"toolType": "USE_CASE", "configuration": configuration},
        "the run's input",
        {name: {"description": f"What the run is about: {step.title}"}},
    )


def _by_agents(step: Step, facts: Sequence[Fact], offers: Offers) -> Iterator[Work]:
    named = [agent for agent in offers.agents if agent.agent_id == step.agent]
    matches = find_matches(
        f"{step.title} {step.id}",
        named or offers.agents,
        preferred=[step.agent] if named else offers.preferred,
        capability=step.capability if named else "",
    )
    for match in matches:
        mapping = _mapping(facts, match.capability)
        if mapping is None:
            continue
        work = _agent_work(step, match.agent, match.capability, mapping)
        if work is not None:
            yield work


def _agent_work(
    step: Step, agent: AgentInfo, capability: Capability | None, mapping: Mapping[str, str]
) -> Work | None:
    tool_type = agent.tool_type
    if tool_type in (None, ToolType.NOOP, ToolType.HUMAN):
        return None
    given, inputs, required = _filled(step, capability)
    configuration: JsonObject = dict(agent.configuration)
    if tool_type is ToolType.USE_CASE and agent.built_in and capability is not None:
        configuration |= {"useCase": capability.name}
    if given or tool_type is ToolType.USE_CASE:
        configuration["input" if tool_type is not ToolType.API else "body"] = given
    if configuration_errors(tool_type, configuration):
        return None
    fields: JsonObject = {"toolType": tool_type.value, "configuration": configuration}
    if not agent.built_in:
        fields["agentId"] = agent.agent_id
    if mapping:
        fields["outputMapping"] = dict(mapping)
    does = f" ({capability.name})" if capability else ""
    return Work(fields, f"agent '{agent.agent_id}'{does}", inputs, required)


def _mapping(facts: Sequence[Fact], capability: Capability | None) -> dict[str, str] | None:
    """Return where the capability's output tells each fact, or None where it does not tell one."""
    schema = (capability.output_schema if capability else None) or {}
    properties = schema.get("properties")
    told: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
    mapping: dict[str, str] = {}
    for fact in facts:
        name = next(
            (name for name in told if _plain(name) == _plain(fact.name) and _fits(told[name], fact)), None
        )
        if name is None:
            return None
        if name != fact.name:
            mapping[fact.name] = f"output.{name}"
    return mapping


def _plain(name: str) -> str:
    return _MARK.sub("", re.sub(r"^(?:is|has)_", "", name)).replace("_", "").lower()


def _fits(schema: object, fact: Fact) -> bool:
    kind = schema.get("type") if isinstance(schema, dict) else None
    return kind == fact.type or (fact.type == "number" and kind == "integer")


def _filled(step: Step, capability: Capability | None) -> tuple[JsonObject, JsonObject, tuple[str, ...]]:
    """Return the input of a capability: what can be said from the step itself, and the rest from the run's input."""
    schema = (capability.input_schema if capability else None) or {}
    properties, wanted = schema.get("properties"), schema.get("required")
    known: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
    given: JsonObject = {}
    inputs: JsonObject = {}
    for name in wanted if isinstance(wanted, list) else ():
        field_schema = known.get(str(name), {})
        if step.for_each and len(wanted if isinstance(wanted, list) else ()) == 1:
            given[str(name)] = "${item}"
        elif _is_text(field_schema) and str(name).lower() in _TITLE_FIELDS | _TEXT_FIELDS:
            given[str(name)] = step.title
        else:
            asked = f"{step.id}_{input_name(str(name))}"
            given[str(name)] = f"${{workflow.input.{asked}}}"
            inputs[asked] = _closed_schema(field_schema, schema) | {
                "description": f"{name} for '{step.title}'"
            }
    return given, inputs, tuple(inputs)


def _closed_schema(schema: Any, whole: JsonObject) -> JsonObject:
    """Return a property's schema without references, which would lead nowhere from its new place."""
    if not isinstance(schema, dict) or "$ref" in str(schema):
        return {}
    return {
        key: value
        for key, value in schema.items()
        if key in ("type", "enum", "minimum", "maximum", "items", "format")
    }


def _is_text(schema: object) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "string" and "enum" not in schema


def _is_thought(step: Step) -> bool:
    first = step.title.split() or [step.id]
    return base_of(first[0]) in THOUGHT or base_of(step.id.partition("_")[0]) in THOUGHT


def _by_model(step: Step, facts: Sequence[Fact]) -> Work:
    properties: JsonObject = {fact.name: fact.schema() for fact in facts}
    schema: JsonObject = {
        "type": "object",
        "properties": properties | {"result": {"type": "string"}},
        "required": [*(fact.name for fact in facts), "result"],
    }
    material: JsonObject = {"input": "${workflow.input}"}
    if step.for_each:
        material["item"] = "${item}"
    configuration: JsonObject = {"prompt": step.text or step.title, "schema": schema, "input": material}
    return Work({"toolType": "LLM", "configuration": configuration}, "the language model")


def _by_person(step: Step, facts: Sequence[Fact]) -> Work:
    asked: JsonObject = {"required": True, "type": "INPUT", "message": step.title}
    if step.who:
        asked["approvalLevel"] = step.who[:100]
    if facts:
        asked["inputSchema"] = _form(facts)
    return Work({"toolType": "HUMAN", "humanInLoop": asked}, "a person")


def _form(facts: Sequence[Fact]) -> JsonObject:
    return {
        "type": "object",
        "properties": {fact.name: fact.schema() for fact in facts},
        "required": [fact.name for fact in facts],
    }

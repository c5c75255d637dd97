"""A flow with work for its steps, written down as a definition."""

from collections.abc import Mapping
from typing import Any

from workflow_service.ai.generation.facts import joint_facts
from workflow_service.ai.generation.flow import Flow, Step, StepKind, Way
from workflow_service.ai.generation.work import Work, input_name
from workflow_service.engine.definition import END, START, Definition, JsonObject
from workflow_service.engine.documents import load_definition

Document = dict[str, Any]
MAX_BLOCK_TIMEOUT_MS = 7 * 86_400_000
MAX_RETRY_DELAY_MS = 86_400_000


def assemble(flow: Flow, works: Mapping[str, Work], settings: JsonObject | None = None) -> Definition:
    """Return the definition of ``flow``; raises ``InvalidDefinition`` where the flow makes none."""
    document: Document = {
        "blocks": [_block(flow, step, works[step.id]) for step in flow.steps],
        "gates": _gates(flow),
        "endDependencies": [way.sources[0] for way in _single(flow) if way.target == END and way.is_plain],
        "globalSettings": settings or {},
    }
    schema = _input_schema(flow, works)
    if schema is not None:
        document["inputSchema"] = schema
    return load_definition(document)


def _block(flow: Flow, step: Step, work: Work) -> Document:
    block: Document = {
        **work.fields,
        "blockId": step.id,
        "name": step.title[:255],
        "dependencies": _dependencies(flow, step),
        "conditions": {"branches": _branches(flow.ways_from(step.id))},
        "onError": [way.target for way in flow.ways_from(step.id) if way.on_error],
    }
    if step.text and step.text != step.title:
        block["description"] = step.text[:2_000]
    if step.for_each:
        block["forEach"] = f"workflow.input.{input_name(step.for_each)}"
    if step.retries is not None:
        policy: Document = {"maxRetries": step.retries}
        if step.retry_delay_ms is not None:
            delay = min(step.retry_delay_ms, MAX_RETRY_DELAY_MS)
            policy |= {"baseDelay": delay, "maxDelay": max(30_000, delay)}
        block["retryPolicy"] = policy
    if step.timeout_ms is not None and block.get("toolType") == "HUMAN":
        block["humanInLoop"] = {**block["humanInLoop"], "dueIn": max(step.timeout_ms, 1_000)}
    elif (
        step.timeout_ms is not None and step.kind is StepKind.WORK and step.timeout_ms <= MAX_BLOCK_TIMEOUT_MS
    ):
        block["timeout"] = step.timeout_ms
    if step.max_rounds is not None:
        block["maxRounds"] = step.max_rounds
    if step.optional:
        block["recovery"] = {"strategies": ["retry", "skip"]}
    if step.asks_first and block.get("toolType") != "HUMAN":
        block["humanInLoop"] = {"required": True, "message": f"May this be done: {step.title}?"[:2_000]}
    return block


def _dependencies(flow: Flow, step: Step) -> list[str]:
    plain = [way for way in flow.ways_to(step.id) if way.is_plain]
    # A join without conditions is nothing but a block that depends on all its sources.
    return list(
        dict.fromkeys(source for way in plain for source in way.sources if not _meets_at_gate(flow, way))
    )


def _meets_at_gate(flow: Flow, way: Way) -> bool:
    return len(way.sources) > 1 and any(
        other.sources == way.sources and not other.is_plain for other in flow.ways
    )


def _branches(ways: tuple[Way, ...]) -> list[Document]:
    """Return the branches of one source, in order; ways with one condition are one branch."""
    grouped: dict[str | None, list[str]] = {}
    for way in ways:
        if way.condition is not None or way.is_default:
            grouped.setdefault(way.condition, []).append(way.target)
    ordered = sorted(grouped.items(), key=lambda item: item[0] is None)
    return [
        {"nextBlocks": targets} | ({} if condition is None else {"condition": condition})
        for condition, targets in ordered
    ]


def _gates(flow: Flow) -> list[Document]:
    by_sources: dict[tuple[str, ...], list[Way]] = {}
    for way in flow.ways:
        if len(way.sources) > 1 and (not way.is_plain or _meets_at_gate(flow, way) or way.target == END):
            by_sources.setdefault(way.sources, []).append(way)
    gates: list[Document] = []
    for sources, ways in by_sources.items():
        gate: Document = {"sources": list(sources), "branches": _branches(tuple(ways))}
        plain = [way.target for way in ways if way.is_plain]
        computed = joint_facts(ways)
        gates.append(
            gate | ({"nextBlocks": plain} if plain else {}) | ({"set": computed} if computed else {})
        )
    return gates


def _single(flow: Flow) -> list[Way]:
    return [way for way in flow.ways if len(way.sources) == 1 and way.sources[0] != START]


def _input_schema(flow: Flow, works: Mapping[str, Work]) -> JsonObject | None:
    properties: JsonObject = {}
    required: list[str] = []
    for step in flow.steps:
        if step.for_each:
            properties[input_name(step.for_each)] = {
                "type": "array",
                "description": f"The items of '{step.title}'",
            }
            required.append(input_name(step.for_each))
        properties |= works[step.id].inputs
        required += works[step.id].required
    if not properties:
        return None
    schema: JsonObject = {"type": "object", "properties": properties}
    return schema | ({"required": list(dict.fromkeys(required))} if required else {})

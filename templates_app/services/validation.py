"""Whether a definition may run here: what the engine says of its graph, and what the tools say of their blocks."""

from collections.abc import Iterator, Sequence

from templates_app.finding_sources import registered_findings
from templates_app.models import Template
from templates_app.pinned_files import GivenFiles, missing_files
from templates_app.services.agent_findings import agent_findings
from templates_app.services.known_work import block_effect, known_outputs, usual_durations_s
from templates_app.services.secrets import unknown_secrets
from templates_app.services.subworkflows import subworkflow_findings
from workflow_service.accounts.models import Workspace
from workflow_service.agents.assignment import choose_for, configuration_of, tool_of
from workflow_service.agents.catalog import AgentInfo, list_agents
from workflow_service.agents.configuration import configuration_errors
from workflow_service.ai.findings import llm_findings
from workflow_service.engine.data_flow import data_flow_findings, writes_of
from workflow_service.engine.definition import NO_STAND_IN, Definition, JsonObject, StandIn
from workflow_service.engine.errors import Problem
from workflow_service.engine.findings import Finding, Severity, errors_in
from workflow_service.engine.graph import Graph
from workflow_service.engine.json_values import json_pointer
from workflow_service.engine.plan import Plan, compile_plan, unsupported_features
from workflow_service.engine.recommendations import recommend
from workflow_service.engine.side_by_side import parallel_writers
from workflow_service.engine.states import ToolType
from workflow_service.engine.validation import check
from workflow_service.json_schemas import SchemaUnusable, check_schema


def validate_definition(
    definition: Definition,
    workspace: Workspace | None = None,
    template: Template | None = None,
    files: GivenFiles | None = None,
) -> tuple[Finding, ...]:
    """Return every finding about ``definition`` on this server, errors first; it may run if it has none.

    With ``workspace`` the templates that its blocks start are looked for there; ``template`` is its own, if it is
    saved. ``files`` are contents of files that come with it.
    """
    agents = list_agents(workspace.pk) if workspace else ()
    checked = check(definition)
    findings = [*checked.findings]
    if not errors_in(findings):
        plan = compile_plan(definition)
        findings += [_finding(one, "") for one in unsupported_features(plan)]
        if workspace is not None:
            findings += unknown_secrets(plan, workspace)
        findings += _data_findings(plan, checked.graph, agents)
    if workspace is not None:
        findings += agent_findings(definition, agents)
    findings += _configurations(definition, agents, workspace)
    findings += _schemas(definition)
    findings += llm_findings(definition)
    findings += registered_findings(definition, workspace)
    if workspace is not None:
        findings += subworkflow_findings(definition, workspace, template)
        version = template and template.current_version
        findings += missing_files(definition, workspace, version.pinned if version else {}, files)
    order = list(Severity)
    return tuple(sorted(findings, key=lambda one: order.index(one.severity)))


def _data_findings(plan: Plan, graph: Graph, agents: Sequence[AgentInfo]) -> Iterator[Finding]:
    """Yield what follows from who reads and writes what: warnings and recommendations."""
    known = known_outputs(plan.definition, agents)
    writes = writes_of(graph, known)
    yield from data_flow_findings(graph, known)
    yield from parallel_writers(plan, writes)
    effects = {block.block_id: block_effect(block, agents) for block in plan.definition.blocks}
    yield from recommend(plan, graph, writes, effects, usual_durations_s(plan.definition, agents))


def _configurations(
    definition: Definition, agents: Sequence[AgentInfo], workspace: Workspace | None
) -> Iterator[Finding]:
    workspace_id = workspace.public_id if workspace is not None else None
    by_id = {agent.agent_id: agent for agent in agents}
    for index, block in enumerate(definition.blocks):
        agent = by_id.get(block.agent_id or "") or choose_for(block, agents)
        tool_type, configuration = block.tool_type, block.configuration
        if agent is not None:
            tool_type = tool_of(block, agent)
            configuration = configuration_of(block, agent, tool_type, configuration)
        # What a remote agent takes it knows itself.
        if tool_type is not None and not (agent and agent.remote):
            for one in configuration_errors(tool_type, configuration, workspace_id=workspace_id):
                yield _finding(one, json_pointer("blocks", index, "configuration"), block.block_id)
        for name in ("fallback", "compensate"):
            work: StandIn | None = getattr(block.recovery, name, None)
            tool_type = (work.tool_type or block.tool_type) if work is not None else None
            if work is not None and tool_type:
                place = json_pointer("blocks", index, "recovery", name, "configuration")
                if tool_type in NO_STAND_IN:
                    yield _inherited_stand_in(tool_type, name, index, block.block_id)
                    continue
                for one in configuration_errors(tool_type, work.configuration, workspace_id=workspace_id):
                    yield _finding(one, place, block.block_id)


def _inherited_stand_in(tool_type: ToolType, name: str, index: int, block_id: str) -> Finding:
    return Finding(
        "BAD_STAND_IN",
        f"names no toolType, and the block's own, {tool_type}, cannot stand in for a block's work",
        pointer=json_pointer("blocks", index, "recovery", name),
        suggestion="give it a toolType such as API or USE_CASE",
        blocks=(block_id,),
    )


def _schemas(definition: Definition) -> Iterator[Finding]:
    if definition.input_schema is not None:
        yield from _schema(definition.input_schema, "/inputSchema", ())
    for index, block in enumerate(definition.blocks):
        schema = block.human_in_loop.input_schema
        if schema is not None:
            pointer = json_pointer("blocks", index, "humanInLoop", "inputSchema")
            yield from _schema(schema, pointer, (block.block_id,))


def _schema(schema: JsonObject, pointer: str, blocks: tuple[str, ...]) -> Iterator[Finding]:
    try:
        check_schema(schema)
    except SchemaUnusable as error:
        place = pointer + json_pointer(*error.place)
        mend = "write it as JSON Schema, draft 2020-12"
        yield Finding("BAD_SCHEMA", f"is no JSON Schema: {error.message}", place, mend, blocks=blocks)
    for place in _foreign_references(schema, pointer):
        mend = "put the schema under $defs and refer to it as #/$defs/NAME"
        yield Finding(
            "BAD_SCHEMA", "refers to another document, which is never fetched", place, mend, blocks=blocks
        )


def _foreign_references(schema: object, pointer: str) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            place = pointer + json_pointer(key)
            if key in ("$ref", "$dynamicRef") and isinstance(value, str) and not value.startswith("#"):
                yield place
            else:
                yield from _foreign_references(value, place)
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from _foreign_references(value, pointer + json_pointer(index))


def _finding(one: Problem, pointer: str, *blocks: str) -> Finding:
    return Finding(
        one.code,
        one.message,
        pointer=pointer + one.pointer,
        suggestion=one.suggestion,
        line=one.line,
        column=one.column,
        blocks=one.blocks or blocks,
        severity=Severity.ERROR,
    )

"""What a posted workflow says: plain words, a DSL text with its states, or a whole definition; one of the three.

Reading one never touches the database; what is wrong is reported with a pointer into the body as it was sent.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rest_framework import serializers

from templates_app.models import MAX_NL_DESCRIPTION
from templates_app.services.designing import Method
from workflow_service.api_serializers import JsonField, JsonObjectField, SnakeSerializer, reference_to
from workflow_service.engine.definition import Definition, JsonObject
from workflow_service.engine.documents import load_definition
from workflow_service.engine.dsl import parse_dsl, render_dsl, states_of
from workflow_service.engine.errors import InvalidDefinition, Problem
from workflow_service.engine.states import TemplateStatus
from workflow_service.settings.config import get_config
from workflow_service.workflows_api.errors import WorkflowBodyInvalid

_SPELLINGS = ("dsl", "parsed_definition")
_NAMES_OF_A_STATE = ("state_name", "name")
STATES_SCHEMA = {
    "oneOf": [
        {"type": "object", "additionalProperties": True},
        {"type": "array", "items": {"type": "object", "additionalProperties": True}},
    ]
}


class WorkflowBody(SnakeSerializer):
    """A workflow as it is written: `nl_description`, or `dsl` with `states`, or a whole `parsed_definition`."""

    name = serializers.CharField(
        required=False, max_length=255, help_text="Not given with `nl_description`: made from it."
    )
    description = serializers.CharField(required=False, allow_blank=True, max_length=2_000)
    nl_description = serializers.CharField(
        required=False,
        max_length=MAX_NL_DESCRIPTION,
        help_text="What the workflow does, in plain English. With `dsl` it is kept as the text it was made from.",
    )
    dsl = serializers.CharField(
        required=False, trim_whitespace=False, help_text="The graph, in the workflow DSL."
    )
    states = JsonField(
        required=False,
        schema=STATES_SCHEMA,
        help_text="With `dsl`: what each state does, by name, or as a list of states with `name`.",
    )
    parsed_definition = JsonObjectField(
        required=False, help_text="The whole definition, as it is read; in place of `dsl` and `states`."
    )
    input_schema = JsonObjectField(required=False, allow_null=True, help_text="JSON Schema of a run's input.")
    global_settings = JsonField(required=False, schema=reference_to("GlobalSettings"))
    tags = serializers.ListField(child=serializers.CharField(max_length=100), required=False, max_length=50)
    method = serializers.ChoiceField(
        choices=[one.value for one in Method],
        required=False,
        help_text="Who reads `nl_description`: `llm`, `rules`, or `auto` (the model where there is one).",
    )


class NewWorkflowBody(WorkflowBody):
    owner_id = serializers.IntegerField(
        required=False, min_value=1, help_text="Not given: you. Somebody else's is for administrators."
    )
    status = serializers.ChoiceField(
        choices=[TemplateStatus.DRAFT.value, TemplateStatus.ACTIVE.value],
        required=False,
        help_text="Not given: active if the workflow is valid and every state has work behind it, else draft.",
    )
    workspace_id = serializers.CharField(required=False, max_length=64)


class ChangedWorkflowBody(WorkflowBody):
    """What of a workflow changes; what is left out stays."""

    status = serializers.ChoiceField(choices=[status.value for status in TemplateStatus], required=False)
    change_note = serializers.CharField(required=False, allow_blank=True, max_length=500)


def read_definition(body: Mapping[str, Any], standing: Definition | None = None) -> Definition | None:
    """Return the definition that a checked body spells; None where it leaves the graph to its words, or as it is.

    ``standing`` is the definition that the body changes: states of it that the body does not mention stay as they are,
    and so do its input schema and settings. Raises ``WorkflowBodyInvalid`` and ``InvalidDefinition``.
    """
    _refuse_two_spellings(body)
    if "parsed_definition" in body:
        return _whole(body["parsed_definition"] | _kept(body, None))
    kept = _kept(body, standing)
    states = _by_name(body["states"]) if "states" in body else {}
    if "dsl" in body:
        return _parse(body["dsl"], states, kept, standing)
    if standing is not None and (states or body.keys() & {"input_schema", "global_settings"}):
        return _parse(render_dsl(standing), states, kept, standing)
    if states:
        raise WorkflowBodyInvalid(
            "'states' goes with 'dsl'", [Problem("STATES_WITHOUT_DSL", "goes with 'dsl'", "/states")]
        )
    return None


def _refuse_two_spellings(body: Mapping[str, Any]) -> None:
    given = [name for name in _SPELLINGS if name in body]
    extra = [
        Problem("BOTH_SPELLINGS", f"the graph is given by '{given[0]}' already", f"/{name}", "leave out one")
        for name in given[1:]
    ]
    if "parsed_definition" in body and "states" in body:
        extra.append(Problem("BOTH_SPELLINGS", "is part of 'parsed_definition'", "/states", "leave it out"))
    if extra:
        raise WorkflowBodyInvalid(f"{extra[0].pointer}: {extra[0].message}", extra)


def _kept(body: Mapping[str, Any], standing: Definition | None) -> dict[str, Any]:
    """Return the parts of a definition beside its graph: as the body says, else as they stand."""
    kept: dict[str, Any] = {}
    if standing is not None:
        settings = standing.global_settings.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        kept = {"inputSchema": standing.input_schema, "globalSettings": settings}
    for name, key in (("input_schema", "inputSchema"), ("global_settings", "globalSettings")):
        if name in body:
            kept[key] = body[name]
    return {key: value for key, value in kept.items() if value is not None}


def _parse(
    dsl: str, states: Mapping[str, Any], kept: dict[str, Any], standing: Definition | None
) -> Definition:
    max_bytes = get_config().dsl_max_bytes
    try:
        if standing is not None:
            skeleton = parse_dsl(dsl, max_bytes=max_bytes)
            named = {block.block_id for block in skeleton.blocks} | {gate.name for gate in skeleton.gates}
            states = {name: one for name, one in states_of(standing).items() if name in named} | dict(states)
        return parse_dsl(
            dsl, states, kept.get("globalSettings"), kept.get("inputSchema"), max_bytes=max_bytes
        )
    except InvalidDefinition as error:
        # A place in the text is a place in the body's ``dsl``.
        error.problems = tuple(
            replace(one, pointer="/dsl") if one.line is not None and not one.pointer else one
            for one in error.problems
        )
        raise


def _by_name(states: object) -> dict[str, Any]:
    """Return states by name, given so or as a list of states that say their names."""
    if isinstance(states, dict):
        return dict(states)
    if not isinstance(states, list):
        problem = Problem("WRONG_TYPE", "must be an object by name, or a list of states", "/states")
        raise WorkflowBodyInvalid(f"/states {problem.message}", [problem])
    found: dict[str, Any] = {}
    problems = []
    for index, state in enumerate(states):
        fields = dict(state) if isinstance(state, dict) else {}
        names = {fields.pop(key) for key in _NAMES_OF_A_STATE if isinstance(fields.get(key), str)}
        if len(names) != 1 or names & found.keys():
            problems.append(
                Problem("UNNAMED_STATE", "must have a 'name' that no other state has", f"/states/{index}")
            )
            continue
        found[names.pop()] = {key: value for key, value in fields.items() if value is not None}
    if problems:
        raise WorkflowBodyInvalid(f"{problems[0].pointer}: {problems[0].message}", problems)
    return found


def _whole(document: JsonObject) -> Definition:
    try:
        return load_definition(document)
    except InvalidDefinition as error:
        error.problems = tuple(
            replace(one, pointer=f"/parsed_definition{one.pointer}") for one in error.problems
        )
        raise

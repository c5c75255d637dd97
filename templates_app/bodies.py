"""What a posted template says: document A's JSON, or a DSL text with its states.

A body is a header (name, tags, metadata …) around a definition. Reading one never touches the database; every
problem it has is reported at once, with a pointer into the body as it was sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rest_framework import serializers

from templates_app.errors import TemplateBodyInvalid
from templates_app.models import MAX_NL_DESCRIPTION
from templates_app.pinned_files import GivenFiles, file_problems
from templates_app.version_labels import SEMVER, Bump
from workflow_service.api_serializers import (
    CamelSerializer,
    JsonField,
    JsonObjectField,
    check_object,
    list_of,
    reference_to,
)
from workflow_service.engine.definition import Definition, JsonObject
from workflow_service.engine.documents import load_definition
from workflow_service.engine.dsl import parse_dsl
from workflow_service.engine.errors import InvalidDefinition, Problem
from workflow_service.engine.states import TemplateStatus
from workflow_service.settings.config import get_config


class TemplateMetadata(CamelSerializer):
    """Document A's ``metadata``."""

    estimated_duration = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=2_147_483_647, help_text="Seconds."
    )
    complexity = serializers.CharField(required=False, allow_blank=True, max_length=20)
    category = serializers.CharField(required=False, allow_blank=True, max_length=100)


class TemplateHeader(CamelSerializer):
    """What a template says beside its definition: it belongs to no version, and every field may be left as it is."""

    name = serializers.CharField(required=False, max_length=255)
    description = serializers.CharField(required=False, allow_blank=True, max_length=2_000)
    nl_description = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=MAX_NL_DESCRIPTION,
        help_text="The text it was generated from, if it was.",
    )
    category = serializers.CharField(required=False, allow_blank=True, max_length=100)
    tags = serializers.ListField(child=serializers.CharField(max_length=100), required=False, max_length=50)
    metadata = TemplateMetadata(required=False)


class TemplateBody(TemplateHeader):
    """A template as it is posted: `blocks` (and `gates`), or `dsl` with `states`."""

    name = serializers.CharField(max_length=255)
    workspace_id = serializers.CharField(required=False, max_length=64)
    version = serializers.CharField(
        required=False,
        max_length=20,
        help_text="Such as 1.2.0. Not given: 1.0.0, then the next minor version.",
    )
    bump = serializers.ChoiceField(
        choices=[part.value for part in Bump],
        required=False,
        help_text="Instead of `version`: which part of it a changed definition raises.",
    )
    status = serializers.ChoiceField(
        choices=[status.value for status in TemplateStatus],
        required=False,
        help_text="Not given: active if the definition has no error, else draft; a template that is not a draft "
        "keeps its own. A new one is draft or active.",
    )
    change_note = serializers.CharField(required=False, allow_blank=True, max_length=500)
    blocks = JsonField(required=False, schema=list_of("Block"))
    gates = JsonField(required=False, schema=list_of("Gate"))
    end_dependencies = serializers.ListField(child=serializers.CharField(), required=False)
    dsl = serializers.CharField(
        required=False, trim_whitespace=False, help_text="The graph, in the workflow DSL."
    )
    states = JsonObjectField(required=False, help_text="With `dsl`: what each block does, by block id.")
    files = JsonObjectField(
        required=False,
        help_text="Contents of files that blocks name, by kind (`scripts`, `schemas`) and name; null: not included.",
    )
    input_schema = JsonField(required=False, allow_null=True, help_text="JSON Schema of a run's input.")
    global_settings = JsonField(required=False, schema=reference_to("GlobalSettings"))
    template_id = serializers.CharField(required=False, help_text="Only as it was read.")
    created_at = serializers.CharField(required=False, help_text="Only as it was read.")
    updated_at = serializers.CharField(required=False, help_text="Only as it was read.")
    created_by = serializers.CharField(required=False, help_text="Only as it was read.")
    owner_id = serializers.CharField(required=False, help_text="Only as it was read.")
    deprecation_note = serializers.CharField(
        required=False, allow_blank=True, help_text="Only as it was read."
    )


@dataclass(frozen=True, slots=True)
class TemplateDraft:
    """A body that was read: its header, and the definition it spells. ``given`` are fields only we write."""

    name: str
    description: str
    category: str
    complexity: str
    estimated_duration_s: int | None
    tags: tuple[str, ...]
    status: TemplateStatus | None
    version: str | None
    change_note: str
    given: Mapping[str, str]
    definition: Definition
    nl_description: str = ""
    bump: Bump | None = None
    files: GivenFiles | None = None


def read_template(body: object) -> TemplateDraft:
    """Return the template that ``body`` spells.

    Raises ``TemplateBodyInvalid`` for the header and ``InvalidDefinition`` (``DslSyntaxError``) for the
    graph.
    """
    data, problems = check_object(TemplateBody, body)
    metadata = data.get("metadata") or {}
    problems += header_problems(data, metadata) if data else []
    if problems:
        raise TemplateBodyInvalid(
            f"the template is not valid: {problems[0].pointer}: {problems[0].message}", problems
        )
    return TemplateDraft(
        name=data["name"],
        description=data.get("description", ""),
        category=data.get("category") or metadata.get("category", ""),
        complexity=metadata.get("complexity", ""),
        estimated_duration_s=metadata.get("estimated_duration"),
        tags=tuple(dict.fromkeys(data.get("tags", ()))),
        status=TemplateStatus(data["status"]) if "status" in data else None,
        version=data.get("version"),
        change_note=data.get("change_note", ""),
        given={key: data[name] for key, name in _GIVEN_NAMES.items() if name in data},
        definition=_read_definition(data),
        nl_description=data.get("nl_description", ""),
        bump=Bump(data["bump"]) if "bump" in data else None,
        files=data.get("files"),
    )


def read_header(body: object) -> dict[str, Any]:
    """Return the columns of a template that ``body`` names, with their values; raises ``TemplateBodyInvalid``."""
    data, problems = check_object(TemplateHeader, body)
    metadata = data.get("metadata") or {}
    problems += _category_problems(data, metadata)
    if problems:
        raise TemplateBodyInvalid(
            f"the fields are not valid: {problems[0].pointer}: {problems[0].message}", problems
        )
    columns = ("name", "description", "nl_description", "category")
    fields: dict[str, Any] = {key: data[key] for key in columns if key in data}
    fields |= {key: metadata[key] for key in ("category", "complexity") if key in metadata}
    if "estimated_duration" in metadata:
        fields["estimated_duration_s"] = metadata["estimated_duration"]
    if "tags" in data:
        fields["tags"] = list(dict.fromkeys(data["tags"]))
    return fields


_GIVEN_NAMES = {
    "templateId": "template_id",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
    "createdBy": "created_by",
    "ownerId": "owner_id",
    "deprecationNote": "deprecation_note",
}


def header_problems(data: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong between the fields of a body, each of which is right by itself."""
    problems = []
    version = data.get("version")
    if version is not None and not SEMVER.fullmatch(version):
        problems.append(Problem("BAD_VERSION", f"'{version}' is no version", "/version", "write it as 1.2.0"))
    if version is not None and "bump" in data:
        problems.append(
            Problem("CONFLICT", "the version is named by 'version' already", "/bump", "give one of the two")
        )
    problems += _category_problems(data, metadata)
    problems += file_problems(data["files"]) if "files" in data else []
    if "dsl" in data:
        problems += [
            Problem(
                "BOTH_SPELLINGS",
                "the graph is given by 'dsl' already",
                f"/{key}",
                f"leave out 'dsl' or '{key}'",
            )
            for key, name in _GRAPH_NAMES.items()
            if name in data
        ]
    elif "blocks" not in data:
        problems.append(Problem("REQUIRED", "a template needs 'blocks', or 'dsl' with 'states'", "/blocks"))
    elif "states" in data:
        problems.append(Problem("STATES_WITHOUT_DSL", "'states' goes with 'dsl'", "/states", "leave it out"))
    return problems


def _category_problems(data: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[Problem]:
    if len({data.get("category"), metadata.get("category")} - {None}) < 2:
        return []
    return [Problem("CONFLICT", "differs from 'metadata.category'", "/category", "give the category once")]


_GRAPH_NAMES = {"blocks": "blocks", "gates": "gates", "endDependencies": "end_dependencies"}


def _read_definition(data: Mapping[str, Any]) -> Definition:
    if "dsl" not in data:
        names = _GRAPH_NAMES | {"inputSchema": "input_schema", "globalSettings": "global_settings"}
        document: JsonObject = {key: data[name] for key, name in names.items() if data.get(name) is not None}
        return load_definition(document)
    try:
        return parse_dsl(
            data["dsl"],
            data.get("states"),
            max_bytes=get_config().dsl_max_bytes,
            global_settings=data.get("global_settings"),
            input_schema=data.get("input_schema"),
        )
    except InvalidDefinition as error:
        # A place in the text is a place in the body's ``dsl``.
        error.problems = tuple(
            replace(one, pointer="/dsl") if one.line is not None and not one.pointer else one
            for one in error.problems
        )
        raise

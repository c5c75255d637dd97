"""A template as a file that ``POST /templates/import`` and ``run_workflow`` read back: the same definition again.

``json`` and ``yaml`` spell the graph as blocks; ``dsl`` is YAML too, with the graph as a text in the DSL and what
each block does under ``states``. Status, owner and times stay behind: where a file is imported it is judged anew.
"""

import json
from dataclasses import dataclass
from enum import StrEnum

from django.utils.text import slugify
from pydantic import JsonValue

from templates_app.models import Template, TemplateVersion
from templates_app.pinned_files import pinned_contents
from templates_app.yaml_documents import write_yaml
from workflow_service.engine.definition import Definition, JsonObject
from workflow_service.engine.documents import dump_definition, load_definition
from workflow_service.engine.dsl import render_dsl, states_of


class ExportFormat(StrEnum):
    JSON = "json"
    YAML = "yaml"
    DSL = "dsl"


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file to download."""

    name: str
    media_type: str
    text: str


def export_template(template: Template, version: TemplateVersion, kind: ExportFormat) -> ExportedFile:
    """Return a version of the template as a file."""
    definition = load_definition(version.definition)
    graph = _as_dsl(definition) if kind is ExportFormat.DSL else dump_definition(definition)
    files = pinned_contents(version.pinned, definition, template.workspace_id)
    body = _header(template, version) | graph | ({"files": files} if files else {})
    stem = f"{slugify(template.name) or template.public_id}-{version.label}"
    if kind is ExportFormat.JSON:
        text = json.dumps(body, ensure_ascii=False, indent=2) + "\n"
        return ExportedFile(f"{stem}.json", "application/json", text)
    return ExportedFile(f"{stem}.yaml", "application/yaml", write_yaml(body))


def _as_dsl(definition: Definition) -> JsonObject:
    document = dump_definition(definition)
    spelt: JsonObject = {"dsl": render_dsl(definition), "states": {**states_of(definition)}}
    for name in ("inputSchema", "globalSettings"):
        if name in document:
            spelt[name] = document[name]
    return spelt


def _header(template: Template, version: TemplateVersion) -> JsonObject:
    metadata: dict[str, JsonValue] = {
        "estimatedDuration": template.estimated_duration_s,
        "complexity": template.complexity,
        "category": template.category,
    }
    fields: dict[str, JsonValue] = {
        "name": template.name,
        "description": template.description,
        "nlDescription": template.nl_description,
        "version": version.label,
        "changeNote": version.change_note,
        "tags": list(template.tags),
        "metadata": _given(metadata),
    }
    return _given(fields)


def _given(fields: dict[str, JsonValue]) -> JsonObject:
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}

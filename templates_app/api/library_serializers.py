"""The shapes of the library of ready templates."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from templates_app.api.serializers import Issue, MetadataShape, issue_document
from templates_app.graph import graph_of
from templates_app.library.catalog import LibraryTemplate
from templates_app.models import Template
from templates_app.services.library import Installation
from workflow_service.api_serializers import (
    CamelSerializer,
    JsonField,
    JsonObjectField,
    PageQuery,
    list_of,
)
from workflow_service.engine.documents import dump_definition
from workflow_service.engine.dsl import render_dsl, states_of

WHEN_INSTALLED = ("tell", "copy")


class LibraryQuery(PageQuery):
    q = serializers.CharField(required=False, max_length=200, help_text="Words; a template has all of them.")
    category = serializers.CharField(required=False, max_length=100)
    tags = serializers.CharField(
        required=False, max_length=1_000, help_text="Comma list; templates with all of them."
    )
    shows = serializers.CharField(
        required=False, max_length=50, help_text="What it is an example of, such as map or compensation."
    )


class LibraryEntry(CamelSerializer):
    """A ready template in a list."""

    slug = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    category = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())
    shows = serializers.ListField(child=serializers.CharField(), help_text="What it is an example of.")
    block_count = serializers.IntegerField()
    metadata = MetadataShape()
    installed_as = serializers.CharField(
        allow_null=True, help_text="The id of the template it is in this workspace, if it was installed."
    )


class LibraryList(CamelSerializer):
    templates = LibraryEntry(many=True)
    categories = serializers.ListField(child=serializers.CharField(), help_text="All there are.")
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class LibraryExample(CamelSerializer):
    name = serializers.CharField()
    description = serializers.CharField()
    input = JsonObjectField(help_text="An input that it runs with as it is.")


class LibraryBranch(CamelSerializer):
    source = serializers.CharField()  # type: ignore[assignment]
    target = serializers.CharField()
    meaning = serializers.CharField()


class GraphNodeShape(CamelSerializer):
    id = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    detail = serializers.CharField(allow_blank=True)
    shape = serializers.CharField(help_text="block, gate or terminal.")
    asks_people = serializers.BooleanField()


class GraphEdgeShape(CamelSerializer):
    source = serializers.CharField()  # type: ignore[assignment]
    target = serializers.CharField()
    style = serializers.CharField(  # type: ignore[assignment]
        help_text="normal, condition, default or error."
    )
    label = serializers.CharField(allow_blank=True)  # type: ignore[assignment]


class GraphShape(CamelSerializer):
    nodes = GraphNodeShape(many=True)
    edges = GraphEdgeShape(many=True)


class LibraryTemplateShape(LibraryEntry):
    """A whole ready template."""

    explanation = serializers.CharField()
    branches = LibraryBranch(many=True, help_text="Every way that is decided, and what it means.")
    examples = LibraryExample(many=True)
    files = serializers.ListField(
        child=serializers.CharField(), help_text="Names of the files that are installed with it."
    )
    dsl = serializers.CharField()
    states = JsonObjectField()
    blocks = JsonField(schema=list_of("Block"))
    gates = JsonField(schema=list_of("Gate"))
    input_schema = JsonObjectField(allow_null=True)
    graph = GraphShape()


class InstallBody(CamelSerializer):
    workspace_id = serializers.CharField(required=False, max_length=64)
    when_installed = serializers.ChoiceField(
        choices=WHEN_INSTALLED,
        default="tell",
        help_text="If it is there already: tell of it, or install a copy.",
    )


class InstallationShape(CamelSerializer):
    """What installing did. Without `created` the template was there already."""

    slug = serializers.CharField()
    template_id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.CharField()
    created = serializers.BooleanField()
    changed = serializers.BooleanField(
        help_text="The template that was there says something else than the library's."
    )
    files = serializers.ListField(child=serializers.CharField(), help_text="The files that were new.")
    findings = Issue(many=True)


def library_entry(one: LibraryTemplate, installed: Mapping[str, Template]) -> dict[str, Any]:
    """Return a ready template as it stands in a list."""
    there = installed.get(one.slug)
    return {
        "slug": one.slug,
        "name": one.name,
        "description": one.description,
        "category": one.category,
        "tags": one.tags,
        "shows": one.about.shows,
        "block_count": one.block_count,
        "metadata": {
            "estimated_duration": one.estimated_duration_s,
            "complexity": one.complexity,
            "category": one.category,
        },
        "installed_as": there.public_id if there else None,
    }


def library_document(one: LibraryTemplate, installed: Mapping[str, Template]) -> dict[str, Any]:
    """Return the whole of a ready template."""
    document = dump_definition(one.definition)
    graph = graph_of(one.definition)
    return {
        **library_entry(one, installed),
        "explanation": one.about.explanation,
        "branches": one.about.branches,
        "examples": one.about.examples,
        "files": [one.workspace_name(path) for path in one.files],
        "dsl": render_dsl(one.definition),
        "states": states_of(one.definition),
        "blocks": document["blocks"],
        "gates": document.get("gates", []),
        "input_schema": one.definition.input_schema,
        "graph": graph,
    }


def installation_document(one: LibraryTemplate, done: Installation) -> dict[str, Any]:
    """Return what installing did."""
    return {
        "slug": one.slug,
        "template_id": done.template.public_id,
        "name": done.template.name,
        "status": done.template.status,
        "created": done.created,
        "changed": done.changed,
        "files": done.files,
        "findings": [issue_document(finding) for finding in done.findings],
    }

"""The shapes of templates, as document A section 5.1 has them."""

from collections.abc import Iterable
from typing import Any

from pydantic import JsonValue
from rest_framework import serializers

from templates_app.models import Template, TemplateVersion
from templates_app.selectors import ORDERINGS
from workflow_service.api_serializers import (
    CamelSerializer,
    JsonField,
    JsonObjectField,
    PageQuery,
    QuerySerializer,
    list_of,
    reference_to,
)
from workflow_service.engine.definition import JsonObject, RetryPolicy
from workflow_service.engine.errors import Problem
from workflow_service.engine.findings import Finding, Severity
from workflow_service.engine.states import TemplateStatus

# Document A's fields of a block are always there; a definition is stored without what it does not say.
_BLOCK_FIELDS: JsonObject = {
    "blockId": None,
    "name": None,
    "description": None,
    "agentId": None,
    "agentType": None,
    "toolType": None,
    "configuration": {},
    "dependencies": [],
    "humanInLoop": {"required": False},
    "retryPolicy": None,
}
_RETRY_FIELDS: JsonObject = RetryPolicy().model_dump(
    by_alias=True, include={"max_retries", "backoff_strategy"}
)
_SETTINGS_FIELDS: JsonObject = {"timeout": None, "maxParallelBlocks": None, "defaultRetryPolicy": None}


class TemplateListQuery(PageQuery):
    category = serializers.CharField(required=False, max_length=100)
    tags = serializers.CharField(
        required=False, max_length=1_000, help_text="Comma list; templates with all of them."
    )
    status = serializers.ChoiceField(
        choices=[status.value for status in TemplateStatus],
        required=False,
        help_text="Not given: all but archived ones.",
    )
    q = serializers.CharField(
        required=False,
        max_length=200,
        help_text='Words, parts of words, "a phrase", `or`, `-without`, in name, tags, category and descriptions; or '
        "a template id.",
    )
    search = serializers.CharField(required=False, max_length=200, help_text="The same as `q`.")
    owner = serializers.CharField(required=False, max_length=150, help_text="A user's id or name, or `me`.")
    complexity = serializers.CharField(required=False, max_length=20)
    shared = serializers.BooleanField(default=False, help_text="Only those you were given rights on.")
    created_from = serializers.DateTimeField(required=False, help_text="Created then or later.")
    created_to = serializers.DateTimeField(required=False, help_text="Created before.")
    updated_from = serializers.DateTimeField(required=False, help_text="Changed then or later.")
    updated_to = serializers.DateTimeField(required=False, help_text="Changed before.")
    ordering = serializers.ChoiceField(
        choices=ORDERINGS,
        required=False,
        help_text="Not given: what is searched for best first, else the newest first.",
    )


class VersionQuery(QuerySerializer):
    version = serializers.CharField(
        required=False,
        max_length=32,
        help_text="A label (1.2.0) or a number (3); not given: the current version.",
    )


class MetadataShape(CamelSerializer):
    estimated_duration = serializers.IntegerField(allow_null=True, help_text="Seconds.")
    complexity = serializers.CharField(allow_blank=True)
    category = serializers.CharField(allow_blank=True)


class TemplateEntry(CamelSerializer):
    """A template in a list."""

    template_id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    category = serializers.CharField(allow_blank=True)
    tags = serializers.ListField(child=serializers.CharField())
    version = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=[status.value for status in TemplateStatus])
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    created_by = serializers.CharField()
    owner_id = serializers.CharField()
    deprecation_note = serializers.CharField(allow_blank=True)
    metadata = MetadataShape()


class TemplateList(CamelSerializer):
    templates = TemplateEntry(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class TemplateShape(TemplateEntry):
    """A whole template: one version of it."""

    workspace_id = serializers.CharField()
    nl_description = serializers.CharField(allow_blank=True)
    blocks = JsonField(schema=list_of("Block"))
    gates = JsonField(schema=list_of("Gate"))
    end_dependencies = serializers.ListField(child=serializers.CharField())
    input_schema = JsonObjectField(allow_null=True)
    global_settings = JsonField(schema=reference_to("GlobalSettings"))


class Issue(CamelSerializer):
    """Something about a definition: an ERROR keeps it from running."""

    type = serializers.CharField(help_text="A stable code, such as CIRCULAR_DEPENDENCY.")
    severity = serializers.ChoiceField(choices=[severity.value for severity in Severity])
    block_id = serializers.CharField(allow_null=True)
    message = serializers.CharField()
    suggestion = serializers.CharField(allow_blank=True)
    pointer = serializers.CharField(allow_blank=True, help_text="JSON pointer to the place.")
    line = serializers.IntegerField(allow_null=True)
    column = serializers.IntegerField(allow_null=True)
    blocks = serializers.ListField(child=serializers.CharField(), help_text="Every block it is about.")


class SavedTemplate(TemplateShape):
    findings = Issue(many=True)


class Recommendation(CamelSerializer):
    """What would make the workflow faster or steadier."""

    type = serializers.CharField()
    message = serializers.CharField()
    impact = serializers.CharField(allow_blank=True, help_text="What it would bring.")
    suggestion = serializers.CharField(allow_blank=True, help_text="How to do it.")
    pointer = serializers.CharField(allow_blank=True)
    blocks = serializers.ListField(child=serializers.CharField())


class Validation(CamelSerializer):
    valid = serializers.BooleanField()
    issues = Issue(many=True)
    recommendations = Recommendation(many=True)


class CloneBody(CamelSerializer):
    name = serializers.CharField(required=False, max_length=255, help_text="Not given: Copy of …")
    version = serializers.CharField(required=False, max_length=32, help_text="Not given: the current one.")


class CategoryCount(CamelSerializer):
    category = serializers.CharField()
    count = serializers.IntegerField()


class CategoryList(CamelSerializer):
    categories = CategoryCount(many=True)


class TagCount(CamelSerializer):
    tag = serializers.CharField()
    count = serializers.IntegerField()


class TagList(CamelSerializer):
    tags = TagCount(many=True)


class DslShape(CamelSerializer):
    template_id = serializers.CharField()
    version = serializers.CharField()
    dsl = serializers.CharField()
    states = JsonObjectField(help_text="What each block does beside the graph; goes with `dsl` when posted.")
    input_schema = JsonObjectField(allow_null=True)
    global_settings = JsonField(schema=reference_to("GlobalSettings"))


def template_entry(template: Template) -> dict[str, Any]:
    """Return a template as lists show it."""
    version = template.current_version
    return {
        "template_id": template.public_id,
        "name": template.name,
        "description": template.description,
        "category": template.category,
        "tags": template.tags,
        "version": version.label if version else None,
        "status": template.status,
        "created_at": template.created_at,
        "updated_at": template.updated_at,
        "created_by": (template.created_by or template.owner).public_id,
        "owner_id": template.owner.public_id,
        "deprecation_note": template.deprecation_note,
        "metadata": {
            "estimated_duration": template.estimated_duration_s,
            "complexity": template.complexity,
            "category": template.category,
        },
    }


def template_document(template: Template, version: TemplateVersion) -> dict[str, Any]:
    """Return the whole template in one of its versions."""
    header = {"workspace_id": template.workspace.public_id, "nl_description": template.nl_description}
    return template_entry(template) | {"version": version.label} | header | definition_document(version)


def definition_document(version: TemplateVersion) -> dict[str, Any]:
    """Return what a version says, with document A's fields filled in."""
    definition = version.definition
    return {
        "blocks": [_block_document(block) for block in definition["blocks"]],
        "gates": definition.get("gates", []),
        "end_dependencies": definition.get("endDependencies", []),
        "input_schema": definition.get("inputSchema"),
        "global_settings": settings_document(definition.get("globalSettings", {})),
    }


def settings_document(settings: JsonObject) -> JsonObject:
    """Return the settings of a definition with document A's fields filled in."""
    shown = _SETTINGS_FIELDS | settings
    shown["defaultRetryPolicy"] = _policy(shown["defaultRetryPolicy"])
    return shown


def _block_document(block: JsonObject) -> JsonObject:
    shown = _BLOCK_FIELDS | block
    shown["retryPolicy"] = _policy(shown["retryPolicy"])
    if isinstance(shown["humanInLoop"], dict):
        shown["humanInLoop"] = {"required": False} | shown["humanInLoop"]
    return shown


def _policy(policy: JsonValue) -> JsonValue:
    """Fill in a policy that is given; one that is not stays null: the template's default counts."""
    return _RETRY_FIELDS | policy if isinstance(policy, dict) else None


def validation_document(findings: Iterable[Problem]) -> dict[str, Any]:
    """Return findings in document A's shape; what is merely worth knowing is a recommendation."""
    found = list(findings)
    issues = [one for one in found if _severity(one) is not Severity.INFO]
    return {
        "valid": not any(_severity(one) is Severity.ERROR for one in issues),
        "issues": [issue_document(one) for one in issues],
        "recommendations": [
            {
                "type": one.code,
                "message": one.message,
                "impact": getattr(one, "impact", one.suggestion),
                "suggestion": one.suggestion,
                "pointer": one.pointer,
                "blocks": list(one.blocks),
            }
            for one in found
            if _severity(one) is Severity.INFO
        ],
    }


def issue_document(one: Problem) -> dict[str, Any]:
    """Return one finding; a plain problem is an error."""
    return {
        "type": one.code,
        "severity": _severity(one).value,
        "block_id": one.blocks[0] if one.blocks else None,
        "message": one.message,
        "suggestion": one.suggestion,
        "pointer": one.pointer,
        "line": one.line,
        "column": one.column,
        "blocks": list(one.blocks),
    }


def _severity(one: Problem) -> Severity:
    return one.severity if isinstance(one, Finding) else Severity.ERROR

"""Which top-level keys the output of a tool has, as far as its configuration, or the types of its code, say so."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import JsonValue
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

from workflow_service.agents.configuration import REFERENCE
from workflow_service.agents.use_cases import REGISTRY, UseCase, UseCaseRegistry
from workflow_service.engine.states import ToolType

# With and without pages of a list.
ANSWER_KEYS = frozenset({"status", "headers", "body", "items", "pages", "complete"})

Configuration = Mapping[str, JsonValue]


def output_keys(
    tool_type: ToolType | None, configuration: Configuration, registry: UseCaseRegistry = REGISTRY
) -> frozenset[str] | None:
    """Return the keys that the tool's output can have, None where it may have any."""
    match tool_type:
        case ToolType.NOOP:
            return _keys_of_value(configuration.get("output", {}))
        case ToolType.USE_CASE:
            return _use_case_keys(configuration, registry)
        case ToolType.API:
            return _answer_keys(configuration)
        case ToolType.WAIT:
            return frozenset({"firedAt", "signal", "payload", "timedOut"})
        case ToolType.LLM:
            return _llm_keys(configuration)
    return None


def schema_keys(schema: object) -> frozenset[str] | None:
    """Return the properties of a JSON Schema of an object that allows no others, None where it may have any.

    Of what is no object the answer is none at all: nothing of it becomes part of the context.
    """
    if not isinstance(schema, Mapping):
        return None
    resolved = _resolved(schema, schema)
    kind = resolved.get("type")
    if isinstance(kind, str) and kind != "object":
        return frozenset()
    properties = resolved.get("properties")
    if not isinstance(properties, Mapping) or "patternProperties" in resolved:
        return None
    return frozenset(properties) if resolved.get("additionalProperties", True) is False else None


def _use_case_keys(configuration: Configuration, registry: UseCaseRegistry) -> frozenset[str] | None:
    use_case = registry.find(str(configuration.get("useCase", "")))
    return None if use_case is None else _promised_keys(use_case)


@lru_cache(maxsize=512)
def _promised_keys(use_case: UseCase) -> frozenset[str] | None:
    try:
        schema = use_case.output.json_schema(mode="serialization")
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, TypeError, ValueError):
        return None
    resolved = _resolved(schema, schema)
    # A model that says nothing of further fields writes none: pydantic leaves the word out.
    if resolved.get("type") == "object" and "properties" in resolved:
        resolved = {"additionalProperties": False, **resolved}
    return schema_keys(resolved)


def _answer_keys(configuration: Configuration) -> frozenset[str] | None:
    mapping = configuration.get("responseMapping")
    if isinstance(mapping, Mapping):
        return frozenset(mapping)
    # What an agent calls back with is its own affair.
    return None if configuration.get("callback") else ANSWER_KEYS


def _llm_keys(configuration: Configuration) -> frozenset[str] | None:
    for name in ("schema", "outputSchema"):
        properties = schema_keys(configuration.get(name)) if name in configuration else None
        if properties is not None:
            return properties
    return None


def _keys_of_value(value: JsonValue) -> frozenset[str] | None:
    if isinstance(value, str) and REFERENCE in value:
        return None
    return frozenset(value) if isinstance(value, dict) else frozenset()


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a schema that is nothing but a reference into its own definitions."""
    for _ in range(10):
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
            return schema
        found = root.get("$defs", {}).get(reference.removeprefix("#/$defs/"))
        if not isinstance(found, Mapping):
            return {}
        schema = found
    return {}

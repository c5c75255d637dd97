"""The use cases as a page for people: made from their types and docstrings, so that it says what the code does."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from workflow_service.agents.use_cases import LIBRARY, REGISTRY, UseCase, UseCaseRegistry

HEAD = """# Use cases

<!-- Made by `python manage.py list_use_cases --markdown`; change the docstrings, not this page. -->

What every server has to offer to blocks of the tool type `USE_CASE`. `{"useCase": "csv.read", "file": "sales.csv"}`
is a whole configuration: every other key is the use case's input (or put it all below `input`). A field that takes a
**file** takes the name of a file of the workspace, the id of an artifact (`art_…`), or the whole reference that another
block gave, as in `"${blocks.fetch.output.artifact}"`; see [artifacts](artifacts.md). Conditions and values are
expressions of the same language as in conditions of branches; over a record they read its fields by name, and also
`item` (the record) and `index`. How to add your own: [tools](tools.md).

`GET /api/v1/use-cases` gives the same with JSON schemas of input and output.
"""

_DOUBLE = re.compile(r"``(.+?)``")


def use_cases_page(registry: UseCaseRegistry = REGISTRY) -> str:
    """Return the page on the built-in library as Markdown; what plug-ins add is not on it."""
    use_cases = [registry.get(name) for name in registry.names()]
    built_in = [one for one in use_cases if one.function.__module__.startswith(LIBRARY + ".")]
    contents = "\n".join(f"- [`{one.name}`](#{_anchor(one.name)}): {one.summary}" for one in built_in)
    return "\n".join([HEAD, contents, "", *(section(one) for one in built_in)])


def section(use_case: UseCase) -> str:
    """Return what there is to say of one use case."""
    lines = [f"## {use_case.name}", "", _prose(inspect.getdoc(use_case.function) or ""), ""]
    lines += _side("Input", use_case.input_schema()) + _side("Output", use_case.output_schema())
    return "\n".join(lines)


def _anchor(name: str) -> str:
    return name.replace(".", "")


def _side(title: str, schema: dict[str, Any]) -> list[str]:
    fields = schema.get("properties", {})
    told = _prose(inspect.cleandoc(schema.get("description", "")))
    if not fields:
        return [f"**{title}**: {_type(schema, schema)}. {told}".rstrip(), ""]
    rows = list(_rows(fields, schema, with_default=title == "Input"))
    head = (
        ["| Field | Type | Default |", "|---|---|---|"]
        if title == "Input"
        else ["| Field | Type |", "|---|---|"]
    )
    return [f"**{title}.** {told}".rstrip(), "", *head, *rows, ""]


def _rows(fields: Mapping[str, Any], schema: dict[str, Any], *, with_default: bool) -> Iterator[str]:
    required = schema.get("required", [])
    for name, field in fields.items():
        kind = _type(field, schema)
        note = field.get("description", "") if "$ref" not in field else ""
        if note and kind != "file":
            kind += f": {_prose(note)}"
        row = f"| `{name}` | {kind} |"
        if with_default:
            row += " required |" if name in required else f" {_default(field)} |"
        yield row


def _default(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    return "" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`".replace("|", "\\|")


def _type(field: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        if name == "JsonValue":
            return "any"
        return "file reference" if name == "ArtifactRef" else _object(whole["$defs"][name], whole)
    if "The name of a file of the workspace" in field.get("description", ""):
        return "file"
    if "enum" in field:
        return " \\| ".join(f"`{one}`" for one in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if "anyOf" in field:
        kinds = dict.fromkeys(_type(one, whole) for one in field["anyOf"])
        return " or ".join(kinds)
    match field.get("type"):
        case "array":
            return f"list of {_type(field.get('items', {}), whole)}"
        case "object" if "properties" in field:
            return _object(field, whole)
        case "object":
            inner = field.get("additionalProperties")
            return f"object of {_type(inner, whole)}" if isinstance(inner, dict) and inner else "object"
        case str(kind):
            return {"string": "text", "integer": "whole number"}.get(kind, kind)
    return "any"


def _object(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    inner = ", ".join(
        f"`{name}`: {_type(field, whole)}" for name, field in schema.get("properties", {}).items()
    )
    return f"object ({inner})" if inner else "object"


def _prose(text: str) -> str:
    return " ".join(_DOUBLE.sub(r"`\1`", text).split())

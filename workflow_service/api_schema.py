"""What OpenAPI cannot see by itself: how one signs in, how errors look, and the engine's own models.

Imported when the service is loaded, so that the extensions are known; the hooks are named in the settings.
"""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from pydantic.json_schema import models_json_schema

from workflow_service.engine.definition import Block, Gate, GlobalSettings

Schema = dict[str, Any]

PROBLEM_STATUSES: Mapping[str, str] = {
    "400": "The request is malformed.",
    "401": "Nobody signed in, or the credentials are not valid.",
    "403": "The role has no permission for this.",
    "404": "There is no such thing in your workspaces.",
    "422": "The request is understood, and refused; `errors` says where and how to mend it.",
    "429": "Too many requests; `Retry-After` says when to come back.",
}


class JwtScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "workflow_service.accounts.authentication.JwtAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> Schema:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "workflow_service.accounts.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> Schema:
        return {"type": "apiKey", "in": "header", "name": "X-Api-Key"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "workflow_service.accounts.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> Schema:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


class JsonFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "workflow_service.api_serializers.JsonField"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: str) -> Schema:
        return dict(self.target.schema)


def add_problems(result: Schema, **_: Any) -> Schema:
    """Say for every operation of the API how its errors look."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    components["responses"] = {
        f"Problem{status}": {"description": text, "content": content}
        for status, text in PROBLEM_STATUSES.items()
    }
    for path, operations in result.get("paths", {}).items():
        if path.startswith("/api/"):
            for operation in operations.values():
                for status in PROBLEM_STATUSES:
                    operation["responses"].setdefault(
                        status, {"$ref": f"#/components/responses/Problem{status}"}
                    )
    return result


def add_idempotency_keys(result: Schema, **_: Any) -> Schema:
    """Say of every POST that it may bear an ``Idempotency-Key``."""
    for path, operations in result.get("paths", {}).items():
        if path.startswith("/api/v1/") and "post" in operations and operations["post"].get("security") != []:
            parameters = operations["post"].setdefault("parameters", [])
            if not any(one["name"] == IDEMPOTENCY_KEY["name"] for one in parameters):
                parameters.append(IDEMPOTENCY_KEY)
    return result


def add_definition(result: Schema, **_: Any) -> Schema:
    """Add the engine's models of a definition, to which the templates' serializers refer."""
    models: list[Any] = [(model, "validation") for model in (Block, Gate, GlobalSettings)]
    definitions: Schema = models_json_schema(models, ref_template="#/components/schemas/{model}")[1]
    known = result.setdefault("components", {}).setdefault("schemas", {})
    for name, definition in definitions["$defs"].items():
        known.setdefault(name, definition)
    return result


IDEMPOTENCY_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "maxLength": 255},
    "description": "Up to 255 printable characters. The same key and request are carried out once and get the same "
    "answer, with `Idempotent-Replayed: true`; another request with the key is refused (409). Kept for a day.",
}

_PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457). `code` is stable; `detail` is for people.",
    "required": ["type", "title", "status", "detail", "code", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "examples": ["INVALID_DEFINITION"]},
        "instance": {"type": "string"},
        "errorId": {"type": "string", "description": "With 500: the id under which it is logged."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into what was sent."},
                    "code": {"type": "string", "examples": ["CIRCULAR_DEPENDENCY"]},
                    "detail": {"type": "string"},
                    "suggestion": {"type": "string"},
                    "line": {"type": "integer"},
                    "column": {"type": "integer"},
                    "blocks": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
    },
}

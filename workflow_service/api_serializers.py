"""Serializers as the API speaks: camelCase outside, snake_case inside, closed.

Only declared fields are renamed; the keys of user data (input, context, configuration) are never touched.
Either spelling of a field is read, not both; a field nobody knows is refused by name, with the nearest one
suggested.
"""

import copy
import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.alias_generators import to_camel
from rest_framework import serializers
from rest_framework.request import Request

from workflow_service.engine.errors import Problem, WorkflowError
from workflow_service.engine.json_values import json_pointer

# An answer that lists more helps nobody, and is larger than what was sent.
MAX_PROBLEMS = 50


class RequestInvalid(WorkflowError):
    """The body of a request is JSON, and not what this address takes."""

    code = "INVALID_REQUEST"


class QueryInvalid(WorkflowError):
    """A query parameter is unknown or has a value it cannot have."""

    code = "INVALID_QUERY"


class HeaderInvalid(WorkflowError):
    """A request header has a value it cannot have."""

    code = "INVALID_HEADER"


class CamelSerializer(serializers.Serializer[Any]):
    """A serializer whose fields are declared in snake_case and travel in camelCase."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields: dict[str, serializers.Field[Any, Any, Any, Any]] = {}
        for name, declared in self._declared_fields.items():
            field = copy.deepcopy(declared)
            if isinstance(field, serializers.SerializerMethodField):
                field.method_name = field.method_name or f"get_{name}"
            elif field.source is None and to_camel(name) != name:
                field.source = name
            fields[to_camel(name)] = field
        return fields


class JsonField(serializers.Field[Any, Any, Any, Any]):
    """JSON that belongs to the user or is checked elsewhere: passed on as it is.

    ``schema`` is what OpenAPI says of it; it may refer to ``#/components/schemas/…``.
    """

    def __init__(self, *, schema: Mapping[str, Any] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.schema = dict(schema or {})

    def to_internal_value(self, data: Any) -> Any:
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class JsonObjectField(JsonField):
    """A JSON object of the user's; its keys are never touched."""

    default_error_messages = {"not_an_object": "must be a JSON object"}

    def __init__(self, *, schema: Mapping[str, Any] | None = None, **options: Any) -> None:
        super().__init__(schema=schema or {"type": "object", "additionalProperties": True}, **options)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            self.fail("not_an_object")
        return data


def reference_to(component: str) -> dict[str, Any]:
    """Return the schema of a component that ``api_schema`` adds from the engine's models."""
    return {"$ref": f"#/components/schemas/{component}"}


def list_of(component: str) -> dict[str, Any]:
    """Return the schema of a list of such components."""
    return {"type": "array", "items": reference_to(component)}


class QuerySerializer(CamelSerializer):
    """The query parameters of one address."""

    workspace_id = serializers.CharField(
        required=False, max_length=64, help_text="The workspace, where you have several; or X-Workspace-Id."
    )


class PageQuery(QuerySerializer):
    """Paging as document A has it."""

    limit = serializers.IntegerField(default=20, min_value=1, max_value=100, help_text="Entries on a page.")
    offset = serializers.IntegerField(
        default=0, min_value=0, max_value=10_000_000, help_text="Entries before the page."
    )


def read_body(serializer_class: type[CamelSerializer], request: Request) -> dict[str, Any]:
    """Return the request's checked body, keys in snake_case; raises ``RequestInvalid`` with every problem."""
    data, problems = check_object(serializer_class, request.data)
    if problems:
        raise RequestInvalid(_summary("the body", problems), problems)
    return data


def read_query(serializer_class: type[QuerySerializer], request: Request) -> dict[str, Any]:
    """Return the checked query parameters, keys in snake_case; raises ``QueryInvalid``."""
    data, problems = check_object(serializer_class, request.query_params.dict())
    if problems:
        raise QueryInvalid(_summary("the query", problems), problems)
    return data


def unknown_field(name: str, known: Mapping[str, object] | list[str], pointer: str = "") -> Problem:
    """Return the problem of a field nobody knows; the nearest known one is suggested."""
    near = difflib.get_close_matches(to_camel(name), list(known), n=1)
    mend = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(known))}"
    return Problem(
        "UNKNOWN_FIELD", f"there is no field '{name[:100]}' here", pointer or json_pointer(name), mend
    )


def check_object(
    serializer_class: type[CamelSerializer], data: object
) -> tuple[dict[str, Any], list[Problem]]:
    """Return ``data`` as its serializer reads it, keys in snake_case, and everything that is wrong with it."""
    serializer = serializer_class()
    if not isinstance(data, Mapping):
        return {}, [Problem("NOT_AN_OBJECT", "must be a JSON object")]
    problems: list[Problem] = []
    named = _declared_names(serializer, data, "", problems)
    bound = serializer_class(data=named)
    if not bound.is_valid():
        problems += _problems(bound.errors, "", bound)
        return {}, problems
    return dict(bound.validated_data), problems


def _declared_names(
    serializer: CamelSerializer, data: Mapping[str, Any], pointer: str, problems: list[Problem]
) -> dict[str, Any]:
    """Return ``data`` in the declared spelling, and note fields that are unknown or given twice."""
    known = {name: field for name, field in serializer.fields.items() if not field.read_only}
    named: dict[str, Any] = {}
    for key, value in data.items():
        if len(problems) >= MAX_PROBLEMS:
            break
        name = key if key in known else to_camel(key) if "_" in key else key
        place = pointer + json_pointer(key)
        if name not in known:
            problems.append(unknown_field(key, known, place))
        elif name in named:
            problems.append(
                Problem("BOTH_SPELLINGS", f"give '{name}' or its snake_case spelling, not both", place)
            )
        else:
            field = known[name]
            if isinstance(field, CamelSerializer) and isinstance(value, Mapping):
                value = _declared_names(field, value, place, problems)
            named[name] = value
    return named


def _problems(errors: object, pointer: str, field: object) -> Iterator[Problem]:
    """Walk the errors of a serializer into problems with JSON pointers; what may be chosen is suggested."""
    if isinstance(errors, Mapping):
        for key, inner in errors.items():
            if key == "non_field_errors":
                yield from _problems(inner, pointer, field)
            else:
                yield from _problems(inner, pointer + json_pointer(str(key)), _field_inside(field, str(key)))
    elif isinstance(errors, list):
        for index, inner in enumerate(errors):
            if isinstance(inner, Mapping | list):
                yield from _problems(inner, pointer + json_pointer(index), _field_inside(field, str(index)))
            else:
                yield from _problems(inner, pointer, field)
    else:
        code = str(getattr(errors, "code", "invalid")).upper()
        mend = ""
        if code == "INVALID_CHOICE" and isinstance(field, serializers.ChoiceField):
            mend = f"known are {', '.join(map(str, field.choices))}"
        yield Problem(code, str(errors), pointer, mend)


def _field_inside(field: object, key: str) -> object:
    """Return the field of a serializer with that name, or that of the entries of a list or an object."""
    if isinstance(field, serializers.Serializer):
        return field.fields.get(key)
    return getattr(field, "child", None)


def _summary(what: str, problems: list[Problem]) -> str:
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{what} is not valid: {first.pointer or 'it'}: {first.message}{more}"

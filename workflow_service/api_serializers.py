"""Serializers as the API speaks: camelCase outside (snake_case at document B's door), snake_case inside, closed.

Only declared fields are renamed; the keys of user data (input, context, configuration) are never touched.
Either spelling of a field is read, not both; a field nobody knows is refused by name, with the nearest one
suggested.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from django.db.models import QuerySet
from pydantic.alias_generators import to_camel, to_snake
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

    @staticmethod
    def spelled(name: str) -> str:
        """Return a field's name as it travels."""
        return to_camel(name)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields: dict[str, serializers.Field[Any, Any, Any, Any]] = {}
        for name, declared in self._declared_fields.items():
            field = copy.deepcopy(declared)
            if isinstance(field, serializers.SerializerMethodField):
                field.method_name = field.method_name or f"get_{name}"
            elif field.source is None and self.spelled(name) != name:
                field.source = name
            fields[self.spelled(name)] = field
        return fields


class SnakeSerializer(CamelSerializer):
    """A serializer whose fields travel as they are declared, as document B spells them."""

    @staticmethod
    def spelled(name: str) -> str:
        """Return a field's name as it travels."""
        return to_snake(name)


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


class SnakeQuery(SnakeSerializer, QuerySerializer):
    """The query parameters of one address of document B's."""


class PageQuery(QuerySerializer):
    """Paging as document A has it."""

    limit = serializers.IntegerField(default=20, min_value=1, max_value=100, help_text="Entries on a page.")
    offset = serializers.IntegerField(
        default=0, min_value=0, max_value=10_000_000, help_text="Entries before the page."
    )


class NumberedPageQuery(SnakeQuery):
    """Paging as document B has it."""

    page = serializers.IntegerField(default=1, min_value=1, max_value=1_000_000, help_text="From 1.")
    page_size = serializers.IntegerField(
        default=20, min_value=1, max_value=100, help_text="Entries on a page."
    )


def page_of(
    name: str,
    rows: QuerySet[Any, Any] | Sequence[Any],
    query: Mapping[str, Any],
    documents: Callable[[list[Any]], Any] = list,
) -> dict[str, Any]:
    """Return a list's page as its query cuts it: entries under ``name``, the number of all, and where it is cut.

    ``query`` is what was read by a ``PageQuery`` (document A) or a ``NumberedPageQuery`` (document B); ``documents``
    makes the entries of the page's rows.
    """
    if "page" in query:
        cut = {"page": query["page"], "page_size": query["page_size"]}
        limit, offset = query["page_size"], (query["page"] - 1) * query["page_size"]
    else:
        cut = {"limit": query["limit"], "offset": query["offset"]}
        limit, offset = query["limit"], query["offset"]
    entries = documents(list(rows[offset : offset + limit]))
    total = rows.count() if isinstance(rows, QuerySet) else len(rows)
    return {name: entries, "total": total, **cut}


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
    near = [
        one for spelling in (name, to_camel(name)) for one in get_close_matches(spelling, list(known), n=1)
    ]
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
        name = key if key in known or not key[:1].islower() else serializer.spelled(key)
        place = pointer + json_pointer(key)
        if name not in known:
            problems.append(unknown_field(key, known, place))
        elif name in named:
            problems.append(
                Problem("BOTH_SPELLINGS", f"give '{name}' or its other spelling, not both", place)
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

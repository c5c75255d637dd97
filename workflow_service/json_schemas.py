"""JSON Schemas of strangers, draft 2020-12: what does not fit them, found without fetching, and in bounded time.

A schema comes with a template, a tool of another server or a request. Its references lead nowhere outside of it, and a
``pattern`` that would be searched for ever is given up with the whole check.
"""

import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from itertools import islice
from typing import Any

import regex
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from pydantic import JsonValue
from referencing import Registry
from referencing.exceptions import Unresolvable

# For all patterns of one check together.
PATTERNS_MAX_S = 1.0
_deadline: ContextVar[float] = ContextVar("deadline of patterns")


class SchemaUnusable(Exception):
    """Nothing can be checked against a schema. The message says why; ``place`` is where in the schema, if known."""

    def __init__(self, message: str, place: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.message, self.place = message, place


def check_schema(schema: object) -> None:
    """Raise ``SchemaUnusable`` unless ``schema`` is a JSON Schema."""
    try:
        Draft202012Validator.check_schema(schema)  # type: ignore[arg-type]
    except SchemaError as error:
        raise SchemaUnusable(error.message[:300], tuple(error.absolute_path)) from error
    except Exception as error:
        # A pattern may be one that cannot even be read: then anything is raised.
        raise SchemaUnusable(_words(error)) from error


def misfits(
    schema: Mapping[str, Any], value: JsonValue, limit: int, *, formats: bool = False
) -> list[ValidationError]:
    """Return where ``value`` does not fit ``schema``, the first ``limit`` places; ``formats`` are checked if wanted.

    Raises ``SchemaUnusable``.
    """
    check_schema(schema)
    if _holds(schema, "unevaluatedProperties") and _holds(schema, "patternProperties"):
        raise SchemaUnusable(
            "it has both unevaluatedProperties and patternProperties; use additionalProperties"
        )
    checker: FormatChecker | None = Draft202012Validator.FORMAT_CHECKER if formats else None
    validator = _Validator(schema, registry=Registry(), format_checker=checker)
    limited = _deadline.set(time.monotonic() + PATTERNS_MAX_S)
    try:
        return list(islice(validator.iter_errors(value), limit))
    except Unresolvable as error:
        raise SchemaUnusable(f"its reference {error.ref!r} leads nowhere") from error
    except RecursionError as error:
        raise SchemaUnusable("it refers to itself without end") from error
    except TimeoutError as error:
        raise SchemaUnusable(
            "its patterns take too long to search for; write them without nested repeats"
        ) from error
    except Exception as error:
        # A reference may lead to what is no schema, or a bound be beyond what numbers can be: then anything is raised.
        raise SchemaUnusable(_words(error)) from error
    finally:
        _deadline.reset(limited)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _found(pattern: str, text: str) -> bool:
    left_s = _deadline.get() - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return regex.search(pattern, text, timeout=left_s) is not None


def _pattern(_: Any, pattern: str, instance: object, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _found(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: object, _: Any
) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, schema in patterns.items():
            for key, value in instance.items():
                if _found(pattern, key):
                    yield from validator.descend(value, schema, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, rule: Any, instance: object, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    more = [key for key in instance if key not in known and not any(_found(one, key) for one in patterns)]
    if isinstance(rule, dict):
        for key in more:
            yield from validator.descend(instance[key], rule, path=key)
    elif not rule and more:
        names = ", ".join(map(repr, sorted(more, key=str)))
        was = "were" if len(more) > 1 else "was"
        yield ValidationError(f"Additional properties are not allowed ({names} {was} unexpected)")


def _holds(schema: object, keyword: str) -> bool:
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return (isinstance(schema, dict) and keyword in schema) or any(_holds(part, keyword) for part in parts)


# Those that search for a pattern, but for unevaluatedProperties.
_Validator = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    },
)

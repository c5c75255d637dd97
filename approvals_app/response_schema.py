"""A response and the JSON schema that the workflow asks for.

The schema comes from a template, so it is hostile input too: references to other documents are never fetched,
and a schema that cannot be used is an error of the response's check, not a crash.
"""

from jsonschema.exceptions import ValidationError
from pydantic import JsonValue

from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import Problem
from workflow_service.json_schemas import SchemaUnusable, misfits

MAX_PROBLEMS = 20


def find_problems(schema: JsonObject, response: JsonValue) -> tuple[Problem, ...]:
    """Return what keeps ``response`` from fitting ``schema``, the first 20 places at most."""
    try:
        found = misfits(schema, response, MAX_PROBLEMS, formats=True)
    except SchemaUnusable as error:
        return (_unusable(error.message),)
    return tuple(
        Problem(_code(error), _words(error), pointer=_pointer(error), suggestion=_suggestion(error))
        for error in found
    )


def _unusable(reason: str) -> Problem:
    message = f"the workflow's response schema cannot be used: {reason}"
    return Problem("RESPONSE_SCHEMA_UNUSABLE", message, suggestion="have its author mend inputSchema")


def _code(error: ValidationError) -> str:
    return f"SCHEMA_{error.validator}".upper()


def _pointer(error: ValidationError) -> str:
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in error.absolute_path)
    return "".join(f"/{part}" for part in parts)


def _words(error: ValidationError) -> str:
    if _is_unwanted(error):
        return "is not part of this answer"
    return error.message if len(error.message) <= 300 else error.message[:297] + "..."


def _suggestion(error: ValidationError) -> str:
    match error.validator:
        case "type":
            return f"give a value of type {error.validator_value}"
        case "enum":
            return f"choose one of {error.validator_value}"
        case "required":
            return "fill in what is missing"
        case "additionalProperties":
            return "leave out what was not asked for"
    return "leave it out" if _is_unwanted(error) else ""


def _is_unwanted(error: ValidationError) -> bool:
    return error.validator == "not" and error.validator_value == {}

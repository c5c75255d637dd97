"""Work on hostile patterns, templates and schemas in a process of its own: one JSON document in, one out.

Run as ``python -I bounded_program.py`` by ``bounded``. A pattern can need exponential time and a template any
amount of memory: here both end by the limits of this process, and the worker that asked goes on.
"""

import json
import re
import resource
import sys
from typing import Any

MAX_MATCHES = 100_000


class Refused(Exception):
    """The request cannot be answered; the message is for its author."""


def render(request: dict[str, Any]) -> str:
    """Render a Jinja template without a loader: it can reach nothing but its values."""
    from jinja2 import StrictUndefined, TemplateError, Undefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        autoescape=request["html"],
        undefined=StrictUndefined if request["strict"] else Undefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pieces: list[str] = []
    room: int = request["max_characters"]
    try:
        for piece in environment.from_string(request["template"]).generate(request["values"]):
            room -= len(piece)
            if room < 0:
                raise Refused(f"the text would be longer than {request['max_characters']} characters")
            pieces.append(piece)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise Refused(f"line {line}: {error.message}" if line else str(error.message)) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise Refused(f"{type(error).__name__}: {error}") from None
    return "".join(pieces)


def find(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every match of a pattern: its text, place and groups."""
    matches: list[dict[str, Any]] = []
    for match in _pattern(request).finditer(request["text"]):
        if len(matches) == request["limit"]:
            break
        matches.append(
            {
                "text": match[0],
                "start": match.start(),
                "groups": list(match.groups()),
                "named": match.groupdict(),
            }
        )
    return matches


def replace(request: dict[str, Any]) -> list[Any]:
    """Return the text with every match replaced, and how many there were."""
    pattern = _pattern(request)
    try:
        return list(pattern.subn(request["replacement"], request["text"], request["limit"]))
    except (re.error, IndexError) as error:
        raise Refused(f"the replacement is not right: {error}") from None


def split(request: dict[str, Any]) -> list[str]:
    """Return the parts of the text between the matches."""
    parts: list[str] = []
    position = 0
    for match in _pattern(request).finditer(request["text"]):
        if len(parts) >= request["limit"] - 1:
            break
        if match.end() > match.start():
            parts.append(request["text"][position : match.start()])
            position = match.end()
    return [*parts, request["text"][position:]]


def validate(request: dict[str, Any]) -> list[list[dict[str, str]]]:
    """Return, for each value, where and how it does not fit the JSON schema; references lead nowhere outside."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        Draft202012Validator.check_schema(request["schema"])
        checker = Draft202012Validator(
            request["schema"], registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        return [_misfits(checker, value, request["max_problems"]) for value in request["values"]]
    except SchemaError as error:
        raise Refused(f"the schema is not right at {error.json_path}: {error.message[:300]}") from None
    except (re.error, Unresolvable) as error:
        raise Refused(f"the schema cannot be used: {error}") from None


def _misfits(checker: Any, value: Any, limit: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for error in checker.iter_errors(value):
        pointer = "".join(
            "/" + str(part).replace("~", "~0").replace("/", "~1") for part in error.absolute_path
        )
        found.append({"pointer": pointer, "message": error.message[:300]})
        if len(found) == limit:
            break
    return found


def _pattern(request: dict[str, Any]) -> re.Pattern[str]:
    flags = {"ignoreCase": re.IGNORECASE, "multiline": re.MULTILINE, "dotAll": re.DOTALL}
    chosen = 0
    for name in request["flags"]:
        chosen |= flags[name]
    try:
        return re.compile(request["pattern"], chosen)
    except (re.error, OverflowError, RecursionError) as error:
        raise Refused(f"the pattern is not right: {error}") from None


WORK = {"render": render, "find": find, "replace": replace, "split": split, "validate": validate}


def main() -> None:
    """Answer the request on stdin."""
    request = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"] + 1, request["seconds"] + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        answer = {"answer": WORK[request["work"]](request)}
    except Refused as refusal:
        answer = {"refused": str(refusal)}
    except (MemoryError, RecursionError, OverflowError):
        answer = {"refused": "it needs more memory than it may use"}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()

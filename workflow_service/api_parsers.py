"""How a request's body is read: one JSON object, bounded in size and depth before it is parsed."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser

from workflow_service.engine.errors import WorkflowError
from workflow_service.engine.json_values import JsonUnfit, load_json
from workflow_service.settings.config import get_config


class MalformedBody(WorkflowError):
    """A body is not JSON, or not JSON that can be kept."""

    code = "MALFORMED_BODY"


class BodyTooLarge(WorkflowError):
    """A body is larger than MAX_INPUT_BYTES."""

    code = "BODY_TOO_LARGE"


class BodyNotObject(WorkflowError):
    """A body is JSON, and not an object."""

    code = "BODY_NOT_AN_OBJECT"


class BoundedJsonParser(BaseParser):
    """``application/json`` through the engine's bounded reader; the answer is always a dict."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the object; raises ``MalformedBody``, ``BodyTooLarge`` or ``BodyNotObject``."""
        max_bytes = get_config().max_input_bytes
        document = stream.read(max_bytes + 1)
        try:
            value = load_json(document, max_bytes=max_bytes)
        except JsonUnfit as error:
            kind = BodyTooLarge if error.kind == "JSON_TOO_LARGE" else MalformedBody
            raise kind(f"the body {error.reason}", error.problems) from error
        if not isinstance(value, dict):
            raise BodyNotObject(f"the body must be a JSON object, not {_NAMES.get(type(value), 'null')}")
        return value


_NAMES: dict[type, str] = {
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}

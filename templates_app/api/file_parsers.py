"""How a workflow file is read that is posted: as YAML, as a text in the DSL, or uploaded with its name."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser, MultiPartParser

from templates_app.workflow_files import WorkflowFileInvalid, parse_workflow
from workflow_service.api_parsers import BodyTooLarge
from workflow_service.engine.definition import JsonObject
from workflow_service.settings.config import get_config

FILE, STATES = "file", "states"


class YamlParser(BaseParser):
    """``application/yaml``: a template as it is posted in JSON."""

    media_type = "application/yaml"
    suffix = ".yaml"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> JsonObject:
        """Return the template body; raises ``WorkflowFileInvalid`` or ``BodyTooLarge``."""
        max_bytes = get_config().max_input_bytes
        content = stream.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise BodyTooLarge(f"the body is larger than {max_bytes:,} bytes")
        return parse_workflow(f"body{self.suffix}", content, named=False)


class OldYamlParser(YamlParser):
    """The name from before RFC 9512."""

    media_type = "application/x-yaml"


class YamlTextParser(YamlParser):
    media_type = "text/yaml"


class DslParser(YamlParser):
    """``text/plain``: a text in the DSL, without states."""

    media_type = "text/plain"
    suffix = ".wf"


class UploadParser(MultiPartParser):
    """A form with the workflow's ``file``, and for one in the DSL with its ``states``."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the template body; raises ``WorkflowFileInvalid`` or ``BodyTooLarge``."""
        max_bytes = get_config().max_input_bytes
        context = dict(parser_context or {})
        length = context["request"].META.get("CONTENT_LENGTH") or "0"
        if int(length) > max_bytes:
            raise BodyTooLarge(f"the body is larger than {max_bytes:,} bytes")
        form = super().parse(stream, media_type, context)
        others = sorted({*form.data, *form.files} - {FILE, STATES})
        if others or FILE not in form.files or STATES in form.data:
            wrong = f"there is no field '{others[0][:100]}' here" if others else "it needs a file"
            raise WorkflowFileInvalid(
                f"the form is not valid: {wrong}; send '{FILE}', and '{STATES}' beside a .wf"
            )
        file: Any = form.files[FILE]
        beside: Any = form.files.get(STATES)
        states = (str(beside.name), beside.read()) if beside else None
        return parse_workflow(str(file.name), file.read(), states=states)

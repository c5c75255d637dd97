"""Which MCP servers there are: a file of the operator's, in the form that the field has agreed on.

``{"mcpServers": {"files": {"command": "mcp-files", "args": ["--root", "/srv"], "env": {"KEY": "${secrets.KEY}"}},
"tickets": {"url": "https://tickets.example/mcp", "headers": {"Authorization": "Bearer ${secrets.TICKETS}"}}}}``

An author of workflows names a server and a tool, never a command or a URL. The file is read again when it changes.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from workflow_service.agents.errors import ToolError, problems_of
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.findings import nearest_name_hint
from workflow_service.engine.interpolation import Template, compile_template
from workflow_service.engine.json_values import JsonUnfit, load_json
from workflow_service.engine.states import ErrorType

MAX_FILE_BYTES = 1_000_000
Text = Annotated[str, Field(min_length=1, max_length=8_000)]


class McpServer(BaseModel):
    """One server: a ``command`` that speaks over its standard input and output, or a ``url``.

    ``env`` and ``headers`` may name secrets, which are those of the workspace whose run calls. ``workspaces`` (ids) and
    ``tools`` narrow who may call what; None is everybody and everything.
    """

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, frozen=True, populate_by_name=True)

    command: Text | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: Path | None = None
    url: Annotated[str, Field(pattern=r"^https?://[^\s@]+$")] | None = None
    headers: dict[str, str] = {}
    description: str = ""
    workspaces: tuple[str, ...] | None = None
    tools: tuple[str, ...] | None = None
    # What others write into such files, and what is no choice here.
    type: str | None = None

    @model_validator(mode="after")
    def one_way(self) -> "McpServer":
        if (self.command is None) == (self.url is None):
            raise ValueError("give either 'command' or 'url'")
        if (self.url is None and self.headers) or (
            self.command is None and (self.env or self.args or self.cwd)
        ):
            raise ValueError("'args', 'env' and 'cwd' belong to a 'command', 'headers' to a 'url'")
        return self

    @field_validator("env", "headers")
    @classmethod
    def only_secrets(cls, value: dict[str, str]) -> dict[str, str]:
        try:
            references = compile_template(dict(value)).references
        except ExpressionError as error:
            raise ValueError(error.message) from None
        if references.context or references.outputs or references.input:
            raise ValueError("only ${secrets.NAME} may be named here")
        return value

    @property
    def template(self) -> Template:
        """``env`` and ``headers`` as they name secrets."""
        return compile_template({"env": dict(self.env), "headers": dict(self.headers)})

    @property
    def fingerprint(self) -> str:
        """What changes with anything about the server."""
        return sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    def offers(self, tool: str) -> bool:
        """Tell whether the operator has opened that tool."""
        return self.tools is None or tool in self.tools


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    mcp_servers: dict[Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")], McpServer]


_read_before: dict[tuple[Path, int, int], Mapping[str, McpServer]] = {}


def mcp_servers(path: Path | None) -> Mapping[str, McpServer]:
    """Return the servers in the operator's file by name; none where there is no file. Raises ``ToolError``."""
    if path is None:
        return {}
    try:
        status = path.stat()
        version = (path, status.st_mtime_ns, status.st_ino)
        if version not in _read_before:
            found = _parsed(path.read_bytes())
            _read_before.clear()
            _read_before[version] = found
        return _read_before[version]
    except OSError as error:
        raise _unusable(f"cannot be read ({error.strerror})") from None


def find_server(path: Path | None, name: str, workspace_id: str) -> McpServer:
    """Return the server of that name, if the workspace may call it; raises ``ToolError``."""
    servers = servers_for(path, workspace_id)
    if name not in servers:
        hint = nearest_name_hint(name, servers)
        message = f"there is no MCP server '{name}' here" + (f". {hint}" if hint else "")
        raise ToolError(ErrorType.CONFIGURATION_ERROR, message)
    return servers[name]


def servers_for(path: Path | None, workspace_id: str | None) -> dict[str, McpServer]:
    """Return the servers that a workspace may call; all of them where it is None."""
    return {
        name: server
        for name, server in mcp_servers(path).items()
        if workspace_id is None or server.workspaces is None or workspace_id in server.workspaces
    }


def _parsed(content: bytes) -> Mapping[str, McpServer]:
    try:
        document: Any = load_json(content, max_bytes=MAX_FILE_BYTES)
        return _File.model_validate(document).mcp_servers
    except JsonUnfit as error:
        raise _unusable(error.message) from None
    except ValidationError as error:
        first = problems_of(error)[0]
        raise _unusable(f"{first.pointer}: {first.message}") from None


def _unusable(reason: str) -> ToolError:
    details: dict[str, JsonValue] = {"setting": "MCP_SERVERS_FILE"}
    return ToolError(ErrorType.CONFIGURATION_ERROR, f"the file of MCP servers {reason}", details=details)

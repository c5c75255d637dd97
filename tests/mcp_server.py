"""A real MCP server, of the same package as the client: over stdio, or over HTTP on a port that it prints."""

import json
import os
import sys
from typing import Any

import anyio
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

server = MCPServer("tests", log_level="ERROR")


class Sum(BaseModel):
    total: int
    parts: list[int]


@server.tool()
def add(numbers: list[int]) -> Sum:
    """Add numbers up.

    At least one.
    """
    return Sum(total=sum(numbers), parts=numbers)


@server.tool(structured_output=False)
def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hello, {name}"


@server.tool()
def fail(reason: str) -> str:
    """Fail."""
    raise ValueError(reason)


@server.tool(structured_output=False)
def tell(what: str) -> str:
    """Tell an environment variable, on every channel."""
    value = os.environ.get(what, "")
    sys.stderr.write(f"told {value}\n")
    sys.stderr.flush()
    return json.dumps({"value": value, "names": sorted(os.environ)})


@server.tool()
async def count(to: int, ctx: Context[Any]) -> int:
    """Count, and say how far it is."""
    for number in range(to):
        await ctx.report_progress(number + 1, to, f"{number + 1} of {to}")
        await anyio.sleep(0.01)
    return to


@server.tool()
def die() -> str:
    """End the server at once."""
    os._exit(3)


def serve_http() -> None:
    """Serve on a free port of loopback; who does not send the right key is refused."""
    import socket

    import uvicorn

    app = server.streamable_http_app()
    key = f"Bearer {os.environ['MCP_TEST_KEY']}".encode()

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and dict(scope["headers"]).get(b"authorization") != key:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(guarded, log_level="critical")).run(sockets=[listener])


if __name__ == "__main__":
    match sys.argv[1]:
        case "stdio":
            server.run()
        case "http":
            serve_http()

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from workflow_service.agents.errors import ToolError
from workflow_service.agents.limits import tool_limits
from workflow_service.agents.mcp_servers import servers_for


class Command(BaseCommand):
    help = (
        "Ask the MCP servers of MCP_SERVERS_FILE which tools they offer, print them, and let templates be validated "
        "against them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("server", nargs="?", help="One server; all of them where it is left out.")
        parser.add_argument(
            "--workspace", default="", help="Id of the workspace whose secrets the servers get."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, print and remember; fails where a server does not answer."""
        # The client costs a second to import.
        from workflow_service.agents.mcp import list_mcp_tools

        try:
            servers = servers_for(tool_limits().mcp_servers_file, options["workspace"] or None)
        except ToolError as error:
            raise CommandError(error.message) from None
        if options["server"]:
            if options["server"] not in servers:
                raise CommandError(f"there is no MCP server '{options['server']}'")
            servers = {options["server"]: servers[options["server"]]}
        failed = []
        for name, server in servers.items():
            try:
                tools = list_mcp_tools(name, server, options["workspace"])
            except ToolError as error:
                failed.append(f"{name}: {error.message}")
                continue
            self.stdout.write(f"{name} ({len(tools)} tools)")
            for tool in tools:
                lines = tool.description.strip().splitlines()
                self.stdout.write(f"  {tool.name}: {lines[0] if lines else ''}")
        if failed:
            raise CommandError("\n".join(failed))

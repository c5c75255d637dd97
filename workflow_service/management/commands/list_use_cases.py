"""``manage.py list_use_cases``: what blocks of the tool type USE_CASE can name, plug-ins included."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from workflow_service.agents.use_case_pages import use_cases_page
from workflow_service.agents.use_cases import REGISTRY


class Command(BaseCommand):
    help = "Lists the use cases of this server, or with --markdown prints the page docs/use-cases.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--markdown", action="store_true", help="print the documentation of the built-in ones"
        )

    def handle(self, *args: Any, markdown: bool = False, **options: Any) -> None:
        if markdown:
            self.stdout.write(use_cases_page(), ending="")
            return
        for name in REGISTRY.names():
            self.stdout.write(f"{name:20} {REGISTRY.get(name).summary}")

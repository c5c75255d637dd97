"""Print the settings in force, so that what a process really runs with need not be guessed."""

from argparse import ArgumentParser
from typing import Any

from django.core.management import BaseCommand

from workflow_service.operations.configuration import effective_settings, render_table
from workflow_service.settings.config import get_config


class Command(BaseCommand):
    help = "Print the settings in force, secrets masked; or the table of docs/configuration.md."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--markdown", action="store_true", help="print names, defaults and descriptions")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["markdown"]:
            self.stdout.write(render_table(), ending="")
            return
        for name, value in effective_settings(get_config()):
            self.stdout.write(f"{name}={value}")

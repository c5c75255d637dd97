"""List the ready templates that come with the service, or install some of them in a workspace."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import OperationalError

from templates_app.library.catalog import LibraryTemplate, get_library_template, library, search_library
from templates_app.services.library import Installation, install_template
from workflow_service.accounts.models import User
from workflow_service.accounts.selectors import resolve_workspace
from workflow_service.engine.errors import WorkflowError

WRONG_INPUT, NO_SERVICE = 2, 5
EPILOG = f"""\
What is installed already stays as it is, and is told; only files that are missing are put back.

exit status:
  0  everything asked for is installed, or was
  {WRONG_INPUT}  there is no such template, user or workspace, or the user may not create templates there
  {NO_SERVICE}  the database cannot be reached
"""


class Command(BaseCommand):
    help = "List the library of ready templates, or install from it."
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(
            prog_name, subcommand, epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slugs", nargs="*", metavar="SLUG", help="which ones; --list names them")
        parser.add_argument("--list", action="store_true", help="list the library and install nothing")
        parser.add_argument("--search", default="", metavar="WORDS", help="with --list: only what has them")
        parser.add_argument("--all", action="store_true", help="install all of them")
        parser.add_argument("--copy", action="store_true", help="install a copy of what is there already")
        parser.add_argument("--user", default="developer", help="whose templates they become (developer)")
        parser.add_argument("--workspace", metavar="SLUG", help="where, if the user is in more than one")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            self.stdout.writelines(f"{_line(one)}\n" for one in search_library(options["search"]))
            return
        if bool(options["slugs"]) == options["all"]:
            raise CommandError("Name templates, or give --all; --list shows them", returncode=WRONG_INPUT)
        try:
            wanted = [get_library_template(slug) for slug in options["slugs"]] or list(library().values())
            user = User.objects.filter(username=options["user"], is_active=True).first()
            if user is None:
                raise CommandError(
                    f"There is no user '{options['user']}': give --user", returncode=WRONG_INPUT
                )
            workspace = resolve_workspace(user, [options["workspace"]] if options["workspace"] else [])
            for one in wanted:
                done = install_template(workspace=workspace, actor=user, found=one, copy=options["copy"])
                self.stdout.write(_told(done))
        except WorkflowError as error:
            raise CommandError(error.message, returncode=WRONG_INPUT) from error
        except OperationalError as error:
            raise CommandError(f"The database cannot be reached: {error}", returncode=NO_SERVICE) from error


def _line(one: LibraryTemplate) -> str:
    return f"{one.slug:<22}{one.category:<18}{', '.join(one.about.shows)}"


def _told(done: Installation) -> str:
    said = "installed" if done.created else "was there already"
    files = f", {len(done.files)} file(s)" if done.files else ""
    changed = "; it differs from the library's" if done.changed else ""
    return f"{done.template.name}: {done.template.public_id}, {said}{files}{changed}"

"""Run the sales pipeline on real data, from nothing, through the REST API, and show it."""

import json
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError
from rich.console import Console

from workflow_service.demo.client import ServiceClient, ServiceRefused, ServiceUnreachable
from workflow_service.demo.follow import NotEndedInTime
from workflow_service.demo.pipeline import Demo, DemoOptions, DemoResult
from workflow_service.embedded.errors import EmbeddedServiceError
from workflow_service.embedded.ports import PortUnavailable
from workflow_service.embedded.stack_record import AttachedStack
from workflow_service.embedded.supervisor import Stack
from workflow_service.management.commands.prepare_stack import CREDENTIALS_FILE
from workflow_service.settings.config import Config, get_config

NOT_COMPLETED, NOT_HERE, NOT_IN_TIME, WRONG_ROWS, REFUSED, INTERRUPTED = 1, 3, 4, 5, 6, 130
PLAIN_WIDTH = 120
EPILOG = f"""\
A CSV of sales with realistic dirt is made, the stack that runs is used or one is started, and the pipeline runs through
the REST API: `developer` starts it, `approver` answers where more than 1 % of the rows are bad. At the end the tables
are counted past the pipeline.

exit status:
  0    the run COMPLETED and the tables hold exactly the valid rows of the file
  {NOT_COMPLETED}    the run ended otherwise
  2    the command line is wrong
  {NOT_HERE}    the stack cannot be started here
  {NOT_IN_TIME}    the run has not ended within --timeout
  {WRONG_ROWS}    the run COMPLETED and the tables hold something else
  {REFUSED}    the service refused a request, or stopped answering
  {INTERRUPTED}  interrupted
"""


def whole_number(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if not 1 <= value <= 1_000_000:
        raise ArgumentTypeError("must be a whole number between 1 and 1,000,000")
    return value


def share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ArgumentTypeError("must be a number between 0 and 0.4") from None
    if not 0 <= value <= 0.4:
        raise ArgumentTypeError("must be a number between 0 and 0.4")
    return value


class Command(BaseCommand):
    help = "Run the sales pipeline on real data through the REST API, answer its approval, and show it all."
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(
            prog_name, subcommand, epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rows", type=whole_number, default=10_000, help="rows of the file (10000)")
        parser.add_argument("--dirt", type=share, default=0.03, help="share of them that is bad (0.03)")
        parser.add_argument("--seed", type=int, default=2025, help="same seed, same file (2025)")
        parser.add_argument("--reject", action="store_true", help="let the approver decide against the data")
        parser.add_argument(
            "--timeout", type=float, default=180.0, help="seconds that the run may take (180)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        console = Console(
            file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH
        )
        demo_options = DemoOptions(
            rows=options["rows"],
            dirt=options["dirt"],
            seed=options["seed"],
            approve=not options["reject"],
            timeout_s=options["timeout"],
        )
        try:
            result = run_demo(console, demo_options, get_config())
        except KeyboardInterrupt:
            raise CommandError("Interrupted.", returncode=INTERRUPTED) from None
        except EmbeddedServiceError as error:
            raise CommandError(str(error), returncode=NOT_HERE) from error
        except NotEndedInTime as error:
            raise CommandError(f"{error}.", returncode=NOT_IN_TIME) from error
        except (ServiceRefused, ServiceUnreachable) as error:
            raise CommandError(str(error), returncode=REFUSED) from error
        report_result(console, result)


def run_demo(console: Console, options: DemoOptions, config: Config) -> DemoResult:
    """Run the demonstration on the stack that runs, or on one started for it; raises what went wrong."""
    with attach_or_start(console, config) as stack:
        passwords = read_passwords(stack.data_dir)
        with (
            ServiceClient(stack.base_url, "developer", passwords["developer"]) as developer,
            ServiceClient(stack.base_url, "approver", passwords["approver"]) as approver,
        ):
            own = config.analytics_database_url
            demo = Demo(console, options, stack.data_dir, developer, approver)
            return demo.run(own.get_secret_value() if own else config.postgres_url())


def attach_or_start(console: Console, config: Config) -> Stack | AttachedStack:
    """Return a stack that is ready. Ports that nobody asked for give way where others have them."""

    def report(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    asked = {"server_port", "flower_port"} & config.model_fields_set
    try:
        return Stack.attach_or_start(
            data_dir=config.data_dir, port=config.server_port, flower_port=config.flower_port, report=report
        )
    except PortUnavailable:
        if asked:
            raise
        report("The usual ports are taken: others are used.")
        return Stack.attach_or_start(data_dir=config.data_dir, port=0, flower_port=0, report=report)


def read_passwords(data_dir: Path) -> dict[str, str]:
    """Return the first users' passwords; raises ``CommandError`` where they are not known."""
    path = data_dir / CREDENTIALS_FILE
    try:
        passwords: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(
            f"{path} does not say the users' passwords: {error}", returncode=NOT_HERE
        ) from error
    missing = {"developer", "approver"} - set(passwords)
    if missing:
        names = " and ".join(sorted(missing))
        raise CommandError(
            f"{path} has no password of {names}: remove it and begin anew", returncode=NOT_HERE
        )
    return passwords


def report_result(console: Console, result: DemoResult) -> None:
    """Print the verdict; raises ``CommandError`` unless the run completed and loaded what it should."""
    if result.status != "COMPLETED":
        raise CommandError(f"The run ended {result.status}.", returncode=NOT_COMPLETED)
    found = f"{result.found.rows:,} rows, ${result.found.revenue:,.2f}"
    if not result.is_right:
        expected = f"{result.expected.rows:,} rows, ${result.expected.revenue:,.2f}"
        raise CommandError(f"The tables hold {found} instead of {expected}.", returncode=WRONG_ROWS)
    console.print(f"COMPLETED. The tables hold {found}: exactly what they should.", style="bold green")
    console.print("More that runs as it is, beside `make up`: manage.py install_library --list", markup=False)

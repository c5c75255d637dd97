"""Run the whole stack until it is told to stop."""

import json
import signal
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workflow_service.embedded.errors import DataDirectoryInUse, DataDirectoryUnusable, EmbeddedServiceError
from workflow_service.embedded.ports import PortUnavailable
from workflow_service.embedded.supervisor import Stack
from workflow_service.management.commands.prepare_stack import CREDENTIALS_FILE
from workflow_service.settings.config import get_config

FAILED = 1
NOT_HERE = 3
EPILOG = f"""\
The stack is the web process, the workers, the control worker, beat and Flower. Postgres and Redis are private servers
unless DATABASE_URL and REDIS_URL name others. A process that ends is started again. Ctrl-C stops everything; once more
stops it at once.

settings (environment):
  SERVER_PORT         the web process (8080; 0: any free port)
  SERVER_HOST         the address it listens on (127.0.0.1)
  FLOWER_PORT         Flower (5555; 0: any free port)
  WORKER_CONCURRENCY  processes that run blocks (2)
  DATA_DIR            servers' data, logs, passwords (.data)

exit status:
  0  stopped because it was asked to
  {FAILED}  a part did not come up; the end of its log is shown
  {NOT_HERE}  cannot run here: a port or the data directory is in use or out of reach
"""


class Command(BaseCommand):
    help = "Run the whole stack in the foreground until Ctrl-C; print where it answers."
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(
            prog_name, subcommand, epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, help="port of the web process, instead of SERVER_PORT")

    def handle(self, *args: Any, **options: Any) -> None:
        # A terminal that closes and a plain `kill` end the stack as Ctrl-C does.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        config = get_config()
        try:
            with Stack.start(
                data_dir=config.data_dir,
                host=config.server_host,
                port=config.server_port if options["port"] is None else options["port"],
                flower_port=config.flower_port,
                flower_user=config.flower_user,
                flower_password=config.flower_password.get_secret_value() if config.flower_password else None,
                worker_concurrency=config.worker_concurrency,
                report=lambda text: console.print(text, markup=False),
            ) as stack:
                show_addresses(console, stack)
                stack.wait()
        except KeyboardInterrupt:
            console.print("Stopped.")
        except (PortUnavailable, DataDirectoryInUse, DataDirectoryUnusable) as error:
            raise CommandError(str(error), returncode=NOT_HERE) from error
        except EmbeddedServiceError as error:
            raise CommandError(str(error), returncode=FAILED) from error


def show_addresses(console: Console, stack: Stack) -> None:
    """Print where everything is and how to sign in: a table on a terminal, `name: value` lines elsewhere."""
    flower_user, flower_password = stack.flower_login
    rows = [
        ("Admin", f"{stack.base_url}/admin/"),
        ("API", f"{stack.base_url}/api/docs/"),
        ("Sign in as", f"admin / {admin_password(stack.data_dir)}"),
        ("Flower", stack.flower_url),
        ("Sign in there as", f"{flower_user} / {flower_password}"),
        ("All passwords", str(stack.data_dir / CREDENTIALS_FILE)),
        ("Logs", str(stack.data_dir / "logs")),
    ]
    if not console.is_terminal:
        for name, value in rows:
            console.print(f"{name}: {value}", markup=False)
        return
    table = Table(title="Workflow Service", show_header=False, title_style="bold green")
    for name, value in rows:
        table.add_row(Text(name, style="bold"), Text(value))
    console.print(table)
    console.print("Ctrl-C stops everything.", style="dim")


def admin_password(data_dir: Path) -> str:
    """Return the generated password of `admin`; it may have been changed since."""
    try:
        credentials: dict[str, str] = json.loads((data_dir / CREDENTIALS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "(not recorded)"
    return credentials.get("admin", "(not recorded)")

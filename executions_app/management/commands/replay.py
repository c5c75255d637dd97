"""Show a run as it stood after one of its events, rebuilt from the events alone."""

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import OperationalError, connection, transaction

from executions_app.models import BlockExecution, Execution
from executions_app.replay import RebuiltRun, differences, read_facts, rebuild

DIFFERS, WRONG_INPUT, NO_SERVICE = 1, 2, 5
EPILOG = f"""\
EXECUTION is an id as the API shows it (exec_…). READY stands for READY and QUEUED; blocks that have not begun are
not shown.

exit status:
  0  the run was rebuilt, and with --check it agrees with its rows
  {DIFFERS}  with --check: it does not agree; what differs is listed
  {WRONG_INPUT}  there is no such execution or event
  {NO_SERVICE}  the database cannot be reached
"""


class Command(BaseCommand):
    help = "Show a run as it stood after one of its events."
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(
            prog_name, subcommand, epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("execution", metavar="EXECUTION")
        parser.add_argument("--at", type=int, metavar="SEQ", help="after this event (the newest)")
        parser.add_argument("--check", action="store_true", help="compare the newest state with the rows")
        parser.add_argument("--json", action="store_true", help="print it as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"] and options["at"] is not None:
            raise CommandError("--check compares the newest state: leave out --at", returncode=WRONG_INPUT)
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                # Events and rows of one moment, while the run goes on.
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                execution = _find(options["execution"])
                rebuilt = _rebuild(execution, options["at"])
                found = []
                if options["check"]:
                    rows = BlockExecution.objects.filter(execution=execution, superseded=False)
                    found = list(differences(rebuilt, execution, rows))
        except OperationalError as error:
            raise CommandError(f"The database cannot be reached: {error}", returncode=NO_SERVICE) from error
        self.stdout.write(json.dumps(_document(rebuilt), indent=2) if options["json"] else _text(rebuilt))
        if found:
            raise CommandError("\n".join(["the rows do not agree:", *found]), returncode=DIFFERS)
        if options["check"] and not options["json"]:
            self.stdout.write("The rows agree.")


def _find(execution_id: str) -> Execution:
    execution = Execution.objects.filter(public_id=execution_id).first()
    if execution is None:
        raise CommandError(f"there is no execution '{execution_id}'", returncode=WRONG_INPUT)
    return execution


def _rebuild(execution: Execution, at: int | None) -> RebuiltRun:
    if at is not None and not 1 <= at <= execution.event_seq:
        message = f"{execution} has events 1 to {execution.event_seq}, and none with the number {at}"
        raise CommandError(message, returncode=WRONG_INPUT)
    return rebuild(read_facts(execution, at))


def _document(run: RebuiltRun) -> dict[str, Any]:
    return {
        "seq": run.seq,
        "status": run.status,
        "generation": run.generation,
        "completedBlocks": run.completed_blocks,
        "failedBlocks": run.failed_blocks,
        "skippedBlocks": run.skipped_blocks,
        "rounds": run.rounds,
        "blocks": [
            {
                "scope": key.scope,
                "index": key.number,
                "blockId": key.block_id,
                "status": block.status,
                "generation": block.generation,
            }
            for key, block in run.blocks.items()
        ],
    }


def _text(run: RebuiltRun) -> str:
    lines = [
        f"after event {run.seq}: {run.status}, {run.completed_blocks} completed, {run.failed_blocks} failed, "
        f"{run.skipped_blocks} skipped, {len(run.waiting)} waiting"
    ]
    for key, block in run.blocks.items():
        place = f" [{key.scope}:{key.number}]" if key.scope else ""
        again = f" (run {block.generation})" if block.generation > 1 else ""
        lines.append(f"  {key.block_id}{place}: {block.status}{again}")
    return "\n".join(lines)

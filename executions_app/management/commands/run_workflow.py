"""Run a workflow file: import it as a template, start it, and wait for its end if asked to."""

import json
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import OperationalError
from django.utils import timezone

from executions_app.api.documents import execution_document, read_run
from executions_app.api.serializers import ExecutionShape
from executions_app.models import Execution, WorkerLease
from executions_app.services.executions import start_execution
from templates_app.models import Template
from templates_app.services.imports import import_workflow
from templates_app.workflow_files import WorkflowFile, WorkflowFileInvalid, read_workflow_file
from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import Problem, WorkflowError
from workflow_service.engine.findings import errors_in
from workflow_service.engine.json_values import JsonUnfit, load_json
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ExecutionStatus
from workflow_service.settings.config import get_config

FAILED, WRONG_INPUT, WAITING, NOT_IN_TIME, NO_SERVICE = 1, 2, 3, 4, 5
POLL_INTERVAL_S = 0.2
EPILOG = f"""\
FILE is .json or .yaml (a template as it is posted) or .wf (a text in the DSL, NAME.states.yaml beside it). Importing it
again makes a new version of the same template. Workers must be running for anything to happen: make up.

exit status:
  0  the run COMPLETED (without --wait: it was started)
  {FAILED}  the workflow has errors, or the run ended otherwise
  {WRONG_INPUT}  the file or the input cannot be used, or the command line is wrong
  {WAITING}  the run waits for a person
  {NOT_IN_TIME}  the run has not ended within --timeout; it goes on
  {NO_SERVICE}  the database cannot be reached
"""


class Command(BaseCommand):
    help = "Run a workflow file."
    requires_system_checks = ()
    pause: Callable[[float], None] = staticmethod(time.sleep)
    """Lets time pass between two looks at the run; in seconds."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(
            prog_name, subcommand, epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument(
            "--input", default="{}", metavar="JSON", help="the run's input, or @FILE that holds it"
        )
        parser.add_argument("--wait", action="store_true", help="wait until the run ends or needs a person")
        parser.add_argument("--timeout", type=float, default=600.0, help="seconds to wait at most (600)")
        parser.add_argument(
            "--json", action="store_true", help="print the run as JSON, as the REST API shows it"
        )
        parser.add_argument("--name", help="name of the template, instead of the file's")
        parser.add_argument("--user", default="developer", help="who runs it (developer)")
        parser.add_argument("--workspace", metavar="SLUG", help="where, if the user is in more than one")

    def handle(self, *args: Any, **options: Any) -> None:
        file = read_file(options["file"])
        given = read_input(options["input"])
        try:
            actor, workspace = find_actor(options["user"], options["workspace"])
            body = file.body | ({"name": options["name"]} if options["name"] else {})
            template = self._import(file, body, actor, workspace)
            execution = start(template, actor, workspace, given)
            if not options["json"]:
                self.stdout.write(f"Run {execution.public_id} of '{template.name}' is started.")
            if not WorkerLease.objects.filter(expires_at__gt=timezone.now()).exists():
                self.stderr.write("No worker is running, so nothing happens yet: start them with `make up`.")
            if options["wait"]:
                wait_for(execution, options["timeout"], self.pause)
            self._show(execution, as_json=options["json"])
        except OperationalError as error:
            raise CommandError(f"The database cannot be reached: {error}", returncode=NO_SERVICE) from error
        if options["wait"]:
            self._judge(execution, options["timeout"])

    def _import(self, file: WorkflowFile, body: JsonObject, actor: User, workspace: Workspace) -> Template:
        try:
            imported = import_workflow(workspace=workspace, actor=actor, body=body)
        except WorkflowError as error:
            raise CommandError(say_problems(error, file), returncode=FAILED) from error
        if errors := errors_in(imported.findings):
            message = f"the workflow has {len(errors)} error(s)"
            raise CommandError(say_problems(WorkflowError(message, errors), file), returncode=FAILED)
        return imported.template

    def _show(self, execution: Execution, *, as_json: bool) -> None:
        facts = read_run(execution, timezone.now())
        if as_json:
            shape = ExecutionShape(execution_document(facts)).data
            self.stdout.write(json.dumps(shape, indent=2, default=str, ensure_ascii=False))
            return
        for row in facts.rows:
            error = f"  {row.error.get('message', '')}" if row.error else ""
            self.stdout.write(f"  {row.block_id}: {row.status}{error}")
        self.stdout.write(f"{execution.public_id}: {execution.status}")

    def _judge(self, execution: Execution, timeout_s: float) -> None:
        match execution.status:
            case ExecutionStatus.COMPLETED:
                return
            case ExecutionStatus.WAITING_FOR_APPROVAL:
                blocks = ", ".join(
                    execution.block_executions.filter(status="WAITING").values_list("block_id", flat=True)
                )
                raise CommandError(f"The run waits for a person: {blocks}.", returncode=WAITING)
            case status if status in ENDED_EXECUTION_STATUSES:
                reason = (execution.error or {}).get("message", "no reason was recorded")
                raise CommandError(f"The run ended {status}: {reason}", returncode=FAILED)
        raise CommandError(
            f"The run has not ended within {timeout_s:g} s; it goes on.", returncode=NOT_IN_TIME
        )


def read_file(path: Path) -> WorkflowFile:
    try:
        return read_workflow_file(path)
    except WorkflowFileInvalid as error:
        raise CommandError(error.message, returncode=WRONG_INPUT) from error


def read_input(text: str) -> JsonObject:
    """Return the object that ``--input`` gives, or the file it names after ``@``."""
    source, where = text, "--input"
    if text.startswith("@"):
        where = text[1:]
        try:
            source = Path(where).read_text(encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{where} cannot be read: {error.strerror}", returncode=WRONG_INPUT) from error
        except UnicodeDecodeError as error:
            raise CommandError(f"{where} is not UTF-8: save it as UTF-8", returncode=WRONG_INPUT) from error
    try:
        value = load_json(source, max_bytes=get_config().max_input_bytes)
    except JsonUnfit as error:
        line, column = error.problems[0].line, error.problems[0].column
        place = f"{where}, line {line}, column {column}" if line else where
        raise CommandError(f"{place}: {error.message}", returncode=WRONG_INPUT) from error
    if not isinstance(value, dict):
        raise CommandError(f"{where}: must be a JSON object, such as {{}}", returncode=WRONG_INPUT)
    return value


def find_actor(username: str, slug: str | None) -> tuple[User, Workspace]:
    """Return the user and the workspace that a run is for; raises ``CommandError`` where that is not clear."""
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise CommandError(f"There is no user '{username}': give --user", returncode=WRONG_INPUT)
    workspaces = user.workspaces.filter(slug=slug) if slug else user.workspaces.all()
    found = list(workspaces.distinct()[:2])
    if len(found) != 1:
        known = ", ".join(user.workspaces.values_list("slug", flat=True).distinct()) or "none"
        message = f"Give --workspace: '{username}' is in {known}"
        raise CommandError(message, returncode=WRONG_INPUT)
    return user, found[0]


def start(template: Template, actor: User, workspace: Workspace, given: JsonObject) -> Execution:
    try:
        require(actor, workspace, Action.EXECUTION_START)
        return start_execution(workspace=workspace, actor=actor, template=template, input=given).execution
    except WorkflowError as error:
        raise CommandError(say_problems(error, None), returncode=WRONG_INPUT) from error


def say_problems(error: WorkflowError, file: WorkflowFile | None) -> str:
    """Return the error's message and a line for each problem: the place, what it is, the mend."""
    return "\n".join([error.message, *(say_problem(problem, file) for problem in error.problems)])


def say_problem(problem: Problem, file: WorkflowFile | None) -> str:
    place = file.place_of(problem) if file else problem.pointer
    mend = f" ({problem.suggestion})" if problem.suggestion else ""
    return f"  {place}: {problem.message}{mend}"


def wait_for(execution: Execution, timeout_s: float, pause: Callable[[float], None]) -> None:
    """Return once the run has ended, waits for a person, or the time is over."""
    deadline = time.monotonic() + timeout_s
    while True:
        execution.refresh_from_db()
        settled = execution.status in ENDED_EXECUTION_STATUSES
        if (
            settled
            or execution.status == ExecutionStatus.WAITING_FOR_APPROVAL
            or time.monotonic() >= deadline
        ):
            return
        pause(POLL_INTERVAL_S)

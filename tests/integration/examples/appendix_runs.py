"""Runs of the workflows of document B's appendix C, and what they left in the store."""

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

import examples.appendix_c
from approvals_app.models import Approval
from approvals_app.services.approvals import respond_to_approval
from executions_app.models import Execution
from executions_app.services.executions import start_execution
from templates_app.services.templates import create_template
from templates_app.workflow_files import load_workflow_file
from tests.driver import run_until_quiet
from tests.factories import make_user, make_workspace, statuses
from workflow_service.accounts.models import Role

WORKFLOWS = Path(str(examples.appendix_c.__file__)).parent
_numbers = count(1)


@dataclass
class AppendixRun:
    """A run and the store it works on."""

    execution: Execution
    analytics: psycopg.Connection

    @property
    def visited(self) -> set[str]:
        """The blocks that did their work; a join is none."""
        done = {name for name, status in statuses(self.execution).items() if status == "COMPLETED"}
        return {name for name in done if not name.startswith("[")}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query on the store finds; ``%s`` in it is the run."""
        self.analytics.execute("SET search_path TO appendix_c")
        run = [self.execution.public_id] if "%s" in query else None
        return self.analytics.execute(query.encode(), run).fetchall()

    @property
    def messages(self) -> list[tuple[str, str, str]]:
        """What the run put into the outbox: channel, recipient, subject, in order."""
        return self.rows(
            "SELECT channel, recipient, subject FROM outbox WHERE execution_id = %s ORDER BY message_id"
        )

    def answer(self, *, approved: bool = True, **response: Any) -> "AppendixRun":
        """Answer the open question and let the run go on."""
        approval = Approval.objects.get(execution=self.execution, status="PENDING")
        respond_to_approval(
            approval_id=approval.public_id,
            actor=make_user(self.execution.workspace, Role.APPROVER),
            approved=approved,
            response=response or None,
            source="api",
        )
        self.execution = run_until_quiet(self.execution)
        return self


def run_appendix(analytics: psycopg.Connection, name: str, given: dict[str, Any]) -> AppendixRun:
    """Start one of the three workflows and run it as far as it goes."""
    workspace = make_workspace()
    actor = make_user(workspace, Role.DEVELOPER)
    body = load_workflow_file(WORKFLOWS / f"{name}.wf")
    template = create_template(workspace=workspace, actor=actor, body=body)
    started = start_execution(workspace=workspace, actor=actor, template=template, input=given)
    return AppendixRun(run_until_quiet(started.execution), analytics)


def new_id(kind: str) -> str:
    """Return an id that no other test uses."""
    return f"{kind}-{next(_numbers)}"

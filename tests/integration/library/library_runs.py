"""Runs of the library's templates, installed as anyone installs them, on the files that come with them."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from approvals_app.models import Approval
from approvals_app.services.approvals import respond_to_approval
from executions_app.models import BlockExecution, BlockOutput, Execution
from executions_app.services.executions import start_execution
from templates_app.library.catalog import get_library_template
from templates_app.services.library import install_template
from tests.driver import run_until_quiet
from tests.factories import error_of, make_user, make_workspace
from workflow_service.accounts.models import Role, User
from workflow_service.agents.limits import tool_limits
from workflow_service.artifacts.selectors import get_artifact, open_artifact


@dataclass
class LibraryRun:
    """A run of a ready template, as far as it has come."""

    execution: Execution
    approver: User

    @property
    def status(self) -> str:
        return self.execution.status

    def _done(self) -> "QuerySet[BlockExecution]":
        rows = BlockExecution.objects.filter(execution=self.execution, status="COMPLETED")
        return rows.exclude(kind__in=("item", "undo", "gate"))

    @property
    def visited(self) -> set[str]:
        """The blocks that did their work."""
        names = self._done().values_list("block_id", flat=True)
        return {name for name in names if "[" not in name and not name.startswith("loop")}

    @property
    def question(self) -> Approval:
        """What the run asks a person now."""
        return Approval.objects.get(execution=self.execution, status="PENDING")

    @property
    def files(self) -> Path:
        """The directory of the workspace's files."""
        return tool_limits().files_dir / self.execution.workspace.public_id

    def output(self, block_id: str) -> Any:
        """Return what a block gave; in a loop the last time."""
        row = self._done().filter(block_id=block_id).latest("pk")
        return BlockOutput.objects.get(block_execution=row).value

    def rounds(self, block_id: str) -> int:
        """Return how often a block did its work."""
        return self._done().filter(block_id=block_id).count()

    def text_of(self, reference: dict[str, Any]) -> str:
        """Return what an artifact holds."""
        artifact = get_artifact(self.execution.workspace_id, reference["artifactId"], timezone.now())
        with open_artifact(artifact) as source:
            return source.read().decode()

    def table_of(self, reference: dict[str, Any]) -> list[dict[str, str]]:
        """Return the rows of a CSV artifact."""
        return list(csv.DictReader(io.StringIO(self.text_of(reference))))

    def answer(self, approved: bool = True, **response: Any) -> "LibraryRun":
        """Answer what the run asks, and let it go on."""
        assert self.status == "WAITING_FOR_APPROVAL", self.execution.error
        respond_to_approval(
            approval_id=self.question.public_id,
            actor=self.approver,
            approved=approved,
            response=response or None,
            source="api",
        )
        self.execution = run_until_quiet(self.execution)
        return self

    def completed(self) -> "LibraryRun":
        """Return the run, which must have come to its end."""
        assert self.status == "COMPLETED", self.execution.error
        return self

    def failed(self) -> dict[str, Any]:
        """Return the error of the run, which must have failed."""
        assert self.status == "FAILED"
        return error_of(self.execution)


def run_library(slug: str, example: str = "", **given: Any) -> LibraryRun:
    """Install a template in a workspace of its own and run one of its examples, the first if none is named.

    ``given`` replaces parts of the example's input.
    """
    found = get_library_template(slug)
    workspace = make_workspace()
    actor = make_user(workspace, Role.DEVELOPER)
    installation = install_template(workspace=workspace, actor=actor, found=found)
    examples = {one.name: one for one in found.about.examples}
    chosen = examples[example] if example else found.about.examples[0]
    started = start_execution(
        workspace=workspace, actor=actor, template=installation.template, input={**chosen.input, **given}
    )
    approver = make_user(workspace, Role.APPROVER)
    return LibraryRun(run_until_quiet(started.execution), approver)

"""Runs of the sales pipeline, through the services and the worker's real code."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from approvals_app.models import Approval
from approvals_app.services.approvals import respond_to_approval
from examples.sales_etl import generate_sales
from executions_app.models import BlockOutput, Execution
from executions_app.services.executions import start_execution
from templates_app.models import Template
from templates_app.services.templates import create_template
from templates_app.workflow_files import load_workflow_file
from tests.driver import run_until_quiet
from tests.factories import make_user, make_workspace
from workflow_service.accounts.models import Role
from workflow_service.settings.config import get_config

WORKFLOW = Path(generate_sales.__file__).with_name("workflow.yaml")


@dataclass
class SalesRun:
    """A run, the truth about its file, and where its files lie."""

    execution: Execution
    truth: dict[str, Any]
    files: Path

    def output(self, block_id: str) -> dict[str, Any]:
        """Return what a block answered."""
        value: dict[str, Any] = BlockOutput.objects.get(
            execution_id=self.execution.pk, block_id=block_id
        ).value
        return value

    @property
    def directory(self) -> Path:
        return self.files / "runs" / self.execution.public_id


def make_sales_template(**changes: dict[str, Any]) -> Template:
    """Make a template of the pipeline; ``changes`` are fields of blocks, by block id."""
    body: Any = load_workflow_file(WORKFLOW)
    body["blocks"] = [{**block, **changes.get(block["blockId"], {})} for block in body["blocks"]]
    workspace = make_workspace()
    return create_template(workspace=workspace, actor=make_user(workspace, Role.DEVELOPER), body=body)


def start_sales(template: Template, *, rows: int = 400, dirt: float = 0.03, **given: Any) -> SalesRun:
    """Make a file among the workspace's and start the pipeline on it."""
    files = get_config().data_dir / "files" / template.workspace.public_id
    truth = files / "truth.json"
    command = ["--output", str(files / "sales.csv"), "--truth", str(truth)]
    generate_sales.main([*command, "--rows", str(rows), "--dirt", str(dirt)])
    started = start_execution(
        workspace=template.workspace,
        actor=template.owner,
        template=template,
        input={"csvPath": "sales.csv", **given},
    )
    return SalesRun(started.execution, json.loads(truth.read_text()), files)


def go_on(run: SalesRun) -> SalesRun:
    """Run everything that can run."""
    run.execution = run_until_quiet(run.execution)
    return run


def pending_approval(run: SalesRun) -> Approval:
    """Return the one question that is open."""
    return Approval.objects.get(execution=run.execution, status="PENDING")


def answer(run: SalesRun, *, approved: bool, comments: str = "") -> SalesRun:
    """Answer the open question as an approver, and let the run go on."""
    workspace = run.execution.workspace
    respond_to_approval(
        approval_id=pending_approval(run).public_id,
        actor=make_user(workspace, Role.APPROVER),
        approved=approved,
        comments=comments,
        source="api",
    )
    return go_on(run)

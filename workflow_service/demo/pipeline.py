"""The demonstration from end to end: a file of sales, the run, its approval, and the check of what was loaded."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console

from examples.sales_etl import generate_sales
from templates_app.workflow_files import load_workflow_file
from workflow_service.demo.client import Json, ServiceClient
from workflow_service.demo.follow import follow_execution
from workflow_service.demo.views import block_table, open_view, work_of
from workflow_service.embedded.directories import prepare_data_directory

WORKFLOW = Path(generate_sales.__file__).with_name("workflow.yaml")
CSV_NAME = "demo/sales.csv"
COMMENTS = {True: "The bad rows are known; go on without them.", False: "Ask for a new export."}


@dataclass(frozen=True)
class DemoOptions:
    """What the demonstration is asked to do; ``timeout_s`` bounds the run."""

    rows: int
    dirt: float
    seed: int
    approve: bool
    timeout_s: float


@dataclass(frozen=True)
class Loaded:
    """Rows and revenue in US dollars."""

    rows: int
    revenue: Decimal


@dataclass(frozen=True)
class DemoResult:
    """How the run ended, and whether the tables hold what the file holds."""

    status: str
    expected: Loaded
    found: Loaded

    @property
    def is_right(self) -> bool:
        return self.expected == self.found


class Demo:
    """One demonstration on a stack that runs."""

    def __init__(
        self,
        console: Console,
        options: DemoOptions,
        data_dir: Path,
        developer: ServiceClient,
        approver: ServiceClient,
    ) -> None:
        self._console = console
        self._options = options
        self._data_dir = data_dir
        self._developer = developer
        self._approver = approver

    def run(self, analytics_url: str) -> DemoResult:
        """Do everything; raises what the client and ``follow_execution`` raise."""
        workspace_id = self._developer.me()["workspaces"][0]["workspaceId"]
        truth = self._make_file(self._data_dir / "files" / workspace_id)
        template = self._developer.save_template(load_workflow_file(WORKFLOW))
        self._say(
            f"Template {template['templateId']} version {template['version']} saved by {self._developer.username}."
        )
        started = self._developer.start_execution(
            template["templateId"], {"csvPath": CSV_NAME}, idempotency_key=str(uuid.uuid4())
        )
        execution_id = started["executionId"]
        self._say(f"Run {execution_id} started.")
        with open_view(self._console, template) as view:
            execution = follow_execution(
                self._developer,
                execution_id,
                view,
                timeout_s=self._options.timeout_s,
                answer_questions=lambda: self._answer_questions(execution_id),
            )
        self._show_summary(execution, template)
        found = count_loaded(analytics_url, execution_id)
        return DemoResult(execution["status"], self._expected(execution, truth), found)

    def _make_file(self, files: Path) -> Mapping[str, Any]:
        prepare_data_directory(files)
        path = files / CSV_NAME
        rows, truth = generate_sales.make_sales(
            self._options.rows, self._options.dirt, untidy=0.05, seed=self._options.seed
        )
        generate_sales.write_sales(path, rows)
        self._say(f"{path}: {truth.rows:,} rows, {truth.bad_rows:,} of them bad.")
        return vars(truth)

    def _answer_questions(self, execution_id: str) -> None:
        for approval in self._approver.pending_approvals(execution_id):
            self._say(f"{self._approver.username} is asked: {approval['message']}")
            approved = self._options.approve
            self._approver.respond(approval["approvalId"], approved=approved, comments=COMMENTS[approved])
            self._say(
                f"{self._approver.username} {'approves' if approved else 'rejects'}: {COMMENTS[approved]}"
            )

    def _expected(self, execution: Json, truth: Mapping[str, Any]) -> Loaded:
        """Return what must be in the tables: nothing where a person decided against it."""
        if "stopped" in execution["completedBlocks"]:
            return Loaded(0, Decimal(0))
        return Loaded(truth["valid_rows"], Decimal(truth["revenue"]))

    def _show_summary(self, execution: Json, template: Json) -> None:
        self._console.print(block_table(execution, template))
        outputs = {block["blockId"]: block["output"] for block in execution["blockExecutions"]}
        if overlap := longest_overlap(outputs):
            self._say(overlap)
        report = outputs.get("report") or outputs.get("stopped") or {}
        for name in ("reportPath", "chartPath"):
            if isinstance(report, dict) and report.get(name):
                self._say(f"{name.removesuffix('Path').capitalize()}: {report[name]}")
        if execution.get("error"):
            self._say(f"Error: {json.dumps(execution['error'])[:2_000]}")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def longest_overlap(outputs: Mapping[str, Any]) -> str | None:
    """Return a sentence on the two blocks that worked side by side longest, as they measured it themselves."""
    works = {block_id: work for block_id, output in outputs.items() if (work := work_of(output))}
    found = [
        (overlap_s(works[one], works[other]), one, other)
        for one, other in combinations(works, 2)
        if works[one]["processId"] != works[other]["processId"]
    ]
    seconds, one, other = max(found, default=(0.0, "", ""))
    if seconds <= 0:
        return None
    processes = f"{works[one]['processId']} and {works[other]['processId']}"
    return f"{one} and {other} worked at the same time for {seconds:.2f} s, in processes {processes}."


def overlap_s(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    begun = max(datetime.fromisoformat(work["startedAt"]) for work in (one, other))
    ended = min(datetime.fromisoformat(work["finishedAt"]) for work in (one, other))
    return (ended - begun).total_seconds()


def count_loaded(url: str, execution_id: str) -> Loaded:
    """Count a run's rows in the tables themselves, past the service and the pipeline."""
    query = "SELECT count(*), coalesce(sum(amount), 0) FROM sales_etl.sales WHERE execution_id = %s"
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('sales_etl.sales')").fetchone() == (None,):
            return Loaded(0, Decimal(0))
        row = connection.execute(query, [execution_id]).fetchone()
    return Loaded(*row) if row else Loaded(0, Decimal(0))

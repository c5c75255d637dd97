"""`demo` on a real stack: the sales pipeline through the REST API, and its load when the worker is killed in it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg

from examples.sales_etl import generate_sales
from templates_app.workflow_files import load_workflow_file
from tests.running_stack import PROJECT_ROOT, READY_TIMEOUT_S, USE_CASES, environment
from tests.unit.examples.independent_count import count_valid_sales
from workflow_service.demo.client import Json, ServiceClient
from workflow_service.demo.follow import follow_execution
from workflow_service.embedded.stack_record import AttachedStack, find_running_stack

WORKFLOW = Path(generate_sales.__file__).with_name("workflow.yaml")
DEMO_TIMEOUT_S = 150.0


def demo(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "demo", *arguments],
        cwd=PROJECT_ROOT,
        env=environment(data_dir, USE_CASE_MODULES=USE_CASES),
        capture_output=True,
        text=True,
        timeout=DEMO_TIMEOUT_S + READY_TIMEOUT_S,
    )


def count_loaded(stack: AttachedStack, execution_id: str) -> tuple[int, int]:
    """Return rows and revenue in cents of a run, straight from the table."""
    services = json.loads((stack.data_dir / "services.json").read_text())
    query = (
        "SELECT count(*), coalesce(sum(amount) * 100, 0)::bigint FROM sales_etl.sales WHERE execution_id = %s"
    )
    with psycopg.connect(services["database_url"]) as database:
        row = database.execute(query, [execution_id]).fetchone()
    assert row is not None
    return row[0], row[1]


def run_of(shown: str) -> str:
    (execution_id,) = re.findall(r"^Run (exec_\w+) started\.$", shown, re.MULTILINE)
    return str(execution_id)


def test_the_demonstration_asks_loads_and_runs_side_by_side(stack: AttachedStack) -> None:
    done = demo(stack.data_dir)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "approver is asked: 300 of 10,000 rows (3.00 %) are bad:" in done.stdout
    (csv,) = stack.data_dir.glob("files/*/demo/sales.csv")
    assert count_loaded(stack, run_of(done.stdout)) == count_valid_sales(csv)
    # As the blocks measured it inside their work; nothing in them sleeps.
    assert re.search(
        r"worked at the same time for \d+\.\d\d s, in processes (\d+) and (?!\1\b)\d+\.", done.stdout
    )
    (report,) = re.findall(r"^Report: (.*)$", done.stdout, re.MULTILINE)
    assert "| Revenue | $3,052,873.80 |" in Path(report).read_text()


def test_a_file_with_few_bad_rows_asks_nobody(stack: AttachedStack) -> None:
    done = demo(stack.data_dir, "--dirt", "0.01", "--rows", "2000")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is asked" not in done.stdout
    assert "The tables hold 1,980 rows" in done.stdout


def test_what_the_command_line_gets_wrong_is_said(stack: AttachedStack) -> None:
    assert demo(stack.data_dir, "--rows", "0").returncode == 2
    late = demo(stack.data_dir, "--rows", "50", "--timeout", "0")
    assert late.returncode == 4
    assert "has not ended within 0 s" in late.stderr


class Silent:
    """Shows nothing."""

    def show_event(self, event: Json) -> None: ...

    def show_execution(self, execution: Json) -> None: ...


def test_a_worker_killed_between_the_loads_commit_and_its_finish_loads_once(stack: AttachedStack) -> None:
    password = json.loads((stack.data_dir / "credentials.json").read_text())["developer"]
    body: Any = load_workflow_file(WORKFLOW)
    load = next(block for block in body["blocks"] if block["blockId"] == "load")
    load["configuration"]["useCase"] = "dying.load"
    with ServiceClient(stack.base_url, "developer", password) as developer:
        files = stack.data_dir / "files" / developer.me()["workspaces"][0]["workspaceId"]
        generate_sales.main(["--rows", "1000", "--dirt", "0.01", "--output", str(files / "killed.csv")])
        template = developer.save_template({**body, "name": "Dying load"})
        started = developer.start_execution(
            template["templateId"], {"csvPath": "killed.csv"}, idempotency_key="dying"
        )
        execution = follow_execution(
            developer, started["executionId"], Silent(), timeout_s=60, answer_questions=lambda: None
        )
    assert execution["status"] == "COMPLETED", execution["error"]
    output = next(block["output"] for block in execution["blockExecutions"] if block["blockId"] == "load")
    assert output["timesLoaded"] == 2
    assert count_loaded(stack, execution["executionId"]) == count_valid_sales(files / "killed.csv")


def test_without_a_stack_the_demonstration_starts_one_and_stops_it(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    done = demo(data_dir, "--rows", "500", "--reject")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "approver rejects: Ask for a new export." in done.stdout
    assert "The tables hold 0 rows" in done.stdout
    assert find_running_stack(data_dir) is None

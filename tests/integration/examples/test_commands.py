"""`run_workflow` and `validate_workflow`: what they print, and exit statuses that mean something."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command

from executions_app.management.commands.run_workflow import Command
from executions_app.models import Execution
from templates_app.models import Template
from tests.driver import run_all_until_quiet
from tests.factories import make_user, make_workspace
from tests.integration.examples.appendix_runs import WORKFLOWS, new_id
from workflow_service.accounts.models import Role, User

Analytics = psycopg.Connection
ORDERS = WORKFLOWS / "order_processing.wf"
TICKETS = WORKFLOWS / "support_ticket.wf"


@pytest.fixture
def developer(analytics: Analytics) -> User:
    return make_user(make_workspace(slug="demo"), Role.DEVELOPER, username="developer")


def order(**fields: Any) -> str:
    items = [{"sku": "lamp", "quantity": 1}]
    given = {
        "order_id": new_id("order"),
        "customer_email": "ana@example.com",
        "items": items,
        "card": "card-gold",
    }
    return json.dumps({"order": given | fields})


def run(*arguments: str) -> str:
    """Run the command; while it waits, what is queued is run as by the stack's workers."""
    out, command = StringIO(), Command()
    command.pause = lambda seconds: run_all_until_quiet()
    call_command(command, *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def refusal(*arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as refused:
        run(*arguments)
    return refused.value.returncode, str(refused.value)


def test_a_run_is_waited_for_and_shown(developer: User) -> None:
    shown = run(str(ORDERS), "--input", order(), "--wait")
    assert "notify_fulfillment: COMPLETED" in shown
    assert shown.rstrip().endswith(": COMPLETED")


def test_json_is_what_the_api_shows(developer: User, tmp_path: Path) -> None:
    given = tmp_path / "order.json"
    given.write_text(order())
    shown = json.loads(run(str(ORDERS), "--input", f"@{given}", "--wait", "--json", "--name", "Mine"))
    assert (shown["status"], shown["templateName"], shown["progress"]["percentage"]) == (
        "COMPLETED",
        "Mine",
        100,
    )
    assert {block["blockId"] for block in shown["blockExecutions"]} >= {"validate_order", "process_payment"}


def test_the_same_file_again_is_the_same_template(developer: User) -> None:
    run(str(ORDERS), "--input", order())
    run(str(ORDERS), "--input", order())
    assert Template.objects.count() == 1
    assert Template.objects.get().versions.count() == 1
    assert Execution.objects.count() == 2


def test_a_run_that_needs_a_person_says_where(developer: User) -> None:
    items = [{"sku": "lamp", "quantity": 1}, {"sku": "sofa", "quantity": 1}]
    code, message = refusal(str(ORDERS), "--input", order(items=items), "--wait")
    assert (code, message) == (3, "The run waits for a person: wait_customer_decision.")


def test_a_run_that_fails_says_why(developer: User) -> None:
    ticket = {"ticket_id": new_id("ticket"), "customer_email": "a@b", "subject": "A suggestion", "body": ""}
    code, message = refusal(str(TICKETS), "--input", json.dumps({"ticket": ticket}), "--wait")
    assert code == 1
    assert "No branch of 'classify_ticket' holds" in message


def test_a_run_that_takes_too_long_goes_on(developer: User) -> None:
    code, message = refusal(str(ORDERS), "--input", order(), "--wait", "--timeout", "0")
    assert (code, message) == (4, "The run has not ended within 0 s; it goes on.")
    assert Execution.objects.get().status == "STARTING"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.wf"], "missing.wf: cannot be read: No such file or directory"),
        ([str(ORDERS), "--input", "{"], "--input, line 1, column 2: is not JSON"),
        ([str(ORDERS), "--input", "[]"], "--input: must be a JSON object, such as {}"),
        ([str(ORDERS), "--input", '{"a": NaN}'], "NaN is not a JSON number"),
        ([str(ORDERS), "--input", "[" * 5_000 + "]" * 5_000], "nested deeper than 100 levels"),
        ([str(ORDERS), "--input", "@/missing.json"], "/missing.json cannot be read"),
        ([str(ORDERS), "--input", "{}"], "/input: 'order' is a required property"),
        ([str(ORDERS), "--input", order(items="lamp")], "/input/order/items: 'lamp' is not of type 'array'"),
        ([str(ORDERS), "--user", "nobody"], "There is no user 'nobody'"),
        ([str(ORDERS), "--workspace", "elsewhere"], "'developer' is in demo"),
    ],
)
def test_what_cannot_be_used_is_refused_and_starts_nothing(
    developer: User, arguments: list[str], message: str
) -> None:
    code, said = refusal(*arguments)
    assert code == 2
    assert message in said
    assert not Execution.objects.exists()


def test_a_viewer_may_not_run_workflows(analytics: Analytics) -> None:
    make_user(make_workspace(), Role.VIEWER, username="viewer")
    code, _ = refusal(str(ORDERS), "--user", "viewer", "--input", order())
    assert code == 1
    assert not Template.objects.exists()


def test_a_workflow_with_errors_is_not_started(developer: User, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        "blocks:\n  - blockId: a\n    toolType: USE_CASE\n    configuration: {useCase: outbox.sent}\n"
    )
    code, message = refusal(str(broken))
    assert code == 1
    assert f"{broken}:4:21: there is no use case 'outbox.sent' (did you mean 'outbox.send'?)" in message
    assert not Execution.objects.exists()


NOT_LOOKED_FOR = "Agents, templates and secrets were not looked for: give --workspace."


def validate(*files: Path, as_json: bool = False, workspace: str | None = None) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("validate_workflow", *map(str, files), json=as_json, workspace=workspace, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_the_examples_are_valid() -> None:
    code, shown = validate(*WORKFLOWS.glob("*.wf"), WORKFLOWS.parent / "sales_etl" / "workflow.yaml")
    assert code == 0
    assert "4 file(s) checked: 0 error(s)," in shown


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.wf", "start->a\na->b;", "a.wf:1:9: ERROR DSL_SYNTAX_ERROR"),
        ("a.yaml", "blocks:\n- blockId: a\n  toolType: NOOP\n  dependencies: [b]\n", "a.yaml:4:18: ERROR "),
        ("a.yaml", "blocks:\n- blockId: a\n  toolTyp: NOOP\n", "a.yaml:3:3: ERROR UNKNOWN_FIELD"),
        ("a.yaml", "name: [7]\nblocks: []\n", "a.yaml:1:1: ERROR "),
        ("a.json", '{\n "name": "x",\n "blocks": [],\n "nmae": 1}', "a.json:4:2: ERROR "),
    ],
)
def test_a_fault_is_named_with_its_place(tmp_path: Path, name: str, text: str, line: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    code, shown = validate(path)
    assert code == 1
    assert f"{tmp_path}/{line}" in shown


def test_what_a_workspace_lacks_is_named(developer: User, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "blocks:\n- blockId: a\n  toolType: SUBWORKFLOW\n  configuration: {template: tpl_none}\n"
        "- blockId: b\n  toolType: NOOP\n  agentId: nobody\n"
    )
    assert validate(path) == (0, f"1 file(s) checked: 0 error(s), 0 warning(s).\n{NOT_LOOKED_FOR}\n")
    workspace = developer.workspaces.get()
    code, shown = validate(path, workspace=workspace.slug)
    assert code == 1
    assert f"{path}:4:" in shown
    assert "UNKNOWN_TEMPLATE at /blocks/0/configuration/template" in shown
    assert f"{path}:7:3: ERROR AGENT_UNAVAILABLE" in shown
    with pytest.raises(CommandError, match="There is no workspace 'nowhere'"):
        validate(path, workspace="nowhere")


def test_a_cycle_is_named_by_its_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.wf"
    path.write_text("start->a; a->b; b->c; c->b;")
    path.with_suffix(".states.yaml").write_text("states: {a: &n {toolType: NOOP}, b: *n, c: *n}")
    code, shown = validate(path, as_json=True)
    (cycle,) = [one for one in json.loads(shown)["findings"] if one["code"] == "CIRCULAR_DEPENDENCY"]
    assert (code, sorted(cycle["blocks"])) == (1, ["b", "c"])


def test_a_file_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    broken = tmp_path / "a.wf"
    broken.write_text("start->;")
    code, shown = validate(tmp_path / "missing.yaml", broken)
    assert code == 2
    assert "missing.yaml: cannot be read" in shown
    assert f"{broken}:1:8: ERROR DSL_SYNTAX_ERROR" in shown

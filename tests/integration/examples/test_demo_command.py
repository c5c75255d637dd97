"""The demonstration on the real API, with a worker beside it: what it shows, checks and refuses."""

from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from django.core.management import CommandError
from django.core.wsgi import get_wsgi_application
from rich.console import Console

from executions_app.models import Execution
from templates_app.models import Template
from tests.driver import run_all_until_quiet
from tests.factories import make_user, make_workspace
from workflow_service.accounts.models import Role
from workflow_service.demo.client import ServiceClient, ServiceRefused, ServiceUnreachable
from workflow_service.demo.follow import NotEndedInTime
from workflow_service.demo.pipeline import Demo, DemoOptions, DemoResult, Loaded, longest_overlap
from workflow_service.management.commands.demo import WRONG_ROWS, report_result
from workflow_service.settings.config import get_config

Analytics = psycopg.Connection
PASSWORD = "a-long-password"


@pytest.fixture
def workspace_id(analytics: Analytics) -> str:
    workspace = make_workspace()
    make_user(workspace, Role.DEVELOPER, username="developer")
    make_user(workspace, Role.APPROVER, username="approver")
    return workspace.public_id


class WorkingTransport(httpx.WSGITransport):
    """The service in this very process; before each answer what is queued is run, as by the stack's workers."""

    works = True

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.works:
            run_all_until_quiet()
        return super().handle_request(request)


def client_of(username: str, password: str = PASSWORD) -> ServiceClient:
    transport = WorkingTransport(app=get_wsgi_application())
    return ServiceClient("http://localhost", username, password, transport=transport)


def demonstrate(console: Console, **changes: Any) -> DemoResult:
    options = {"rows": 300, "dirt": 0.03, "seed": 5, "approve": True, "timeout_s": 60.0, **changes}
    config = get_config()
    assert config.analytics_database_url is not None
    with (
        client_of("developer") as developer,
        client_of("approver") as approver,
    ):
        demo = Demo(console, DemoOptions(**options), config.data_dir, developer, approver)
        return demo.run(config.analytics_database_url.get_secret_value())


def plain_console() -> Console:
    return Console(file=StringIO(), width=120)


def shown(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_run_is_shown_line_by_line_and_checked(workspace_id: str) -> None:
    console = plain_console()
    result = demonstrate(console)
    assert result.status == "COMPLETED"
    assert result.is_right
    assert result.found.rows == 291
    text = shown(console)
    assert "extract: completed" in text
    assert "approver is asked: 9 of 300 rows (3.00 %) are bad:" in text
    assert "approver approves:" in text
    assert "blocks skipped: stopped" in text
    report = next(line for line in text.splitlines() if line.startswith("Report: ")).removeprefix("Report: ")
    assert "# Sales report" in Path(report).read_text()
    table = {
        line.split()[0]: line for line in text.splitlines() if " USE_CASE " in line or " SCRIPT " in line
    }
    assert table["load"].rstrip().endswith("291")


def test_a_terminal_gets_a_table(workspace_id: str) -> None:
    console = Console(file=StringIO(), width=120, force_terminal=True)
    result = demonstrate(console, dirt=0.0)
    assert (result.status, result.found.rows) == ("COMPLETED", 300)
    assert "━" in shown(console)


def test_where_the_approver_decides_against_it_nothing_may_be_loaded(
    live_server: Any, workspace_id: str
) -> None:
    result = demonstrate(plain_console(), approve=False)
    assert (result.status, result.expected, result.is_right) == ("COMPLETED", Loaded(0, Decimal(0)), True)


def test_a_second_demonstration_uses_the_same_template(workspace_id: str) -> None:
    for seed in (1, 2):
        demonstrate(plain_console(), seed=seed, dirt=0.0)
    assert Template.objects.count() == 1
    assert Execution.objects.filter(status="COMPLETED").count() == 2


def test_a_run_that_does_not_end_is_given_up(workspace_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkingTransport, "works", False)
    with pytest.raises(NotEndedInTime, match=r"has not ended within 0\.1 s: it is STARTING"):
        demonstrate(plain_console(), timeout_s=0.1)


def test_rows_that_are_not_those_of_the_file_are_an_error() -> None:
    wrong = DemoResult("COMPLETED", Loaded(10, Decimal("5.00")), Loaded(9, Decimal("4.00")))
    with pytest.raises(CommandError, match=r"hold 9 rows, \$4\.00 instead of 10 rows, \$5\.00") as refused:
        report_result(plain_console(), wrong)
    assert refused.value.returncode == WRONG_ROWS


def test_a_refusal_says_each_fault_and_its_mend(workspace_id: str) -> None:
    with client_of("developer") as client:
        with pytest.raises(ServiceRefused) as refused:
            client.save_template({"name": "x", "dsl": "start->a\na->b;"})
        assert (refused.value.status, refused.value.code) == (422, "DSL_SYNTAX_ERROR")
        assert "';' is missing after 'a'" in str(refused.value)
        with pytest.raises(ServiceRefused) as missing:
            client.execution("exec_missing")
        assert missing.value.status == 404


def test_a_wrong_password_is_refused_and_a_lost_token_renewed(workspace_id: str) -> None:
    with (
        client_of("developer", "wrong") as client,
        pytest.raises(ServiceRefused) as refused,
    ):
        client.me()
    assert refused.value.code == "INVALID_CREDENTIALS"
    with client_of("developer") as client:
        client.sign_in()
        client._http.headers["Authorization"] = "Bearer expired"
        assert client.me()["username"] == "developer"


def test_a_service_that_is_not_there_is_said_to_be() -> None:
    nobody = ServiceClient("http://127.0.0.1:1", "developer", PASSWORD)
    with nobody as client, pytest.raises(ServiceUnreachable, match="does not answer"):
        client.me()


def test_side_by_side_is_measured_by_the_blocks_themselves() -> None:
    def work(process: int, begun: str, ended: str) -> dict[str, Any]:
        stamp = "2025-01-01T00:00:{}Z"
        return {
            "xWork": {
                "processId": process,
                "startedAt": stamp.format(begun),
                "finishedAt": stamp.format(ended),
            }
        }

    outputs = {"a": work(1, "01", "04"), "b": work(2, "02", "09"), "c": work(1, "05", "06"), "d": {"rows": 1}}
    assert longest_overlap(outputs) == "a and b worked at the same time for 2.00 s, in processes 1 and 2."
    assert longest_overlap({"a": work(1, "01", "04"), "c": work(2, "05", "06")}) is None
    assert longest_overlap({"a": work(1, "01", "04"), "b": work(1, "02", "06")}) is None
    assert longest_overlap({}) is None

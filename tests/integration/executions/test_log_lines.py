"""The lines that people and alerts look for: in a run's log and in the processes' logs, worded as documented."""

import json
import logging
from typing import Any

import pytest

from executions_app import log_lines, running
from executions_app.dispatch import send_aftermath
from executions_app.finishing import conclude_locked
from executions_app.journal import Announcement
from executions_app.models import BlockExecution, Execution, ExecutionLog
from executions_app.run_state import lock_run
from executions_app.services.control import cancel_execution
from executions_app.settlement import Settler
from executions_app.transaction import command_transaction
from templates_app.plans import compiled_version
from tests.driver import run_until_quiet
from tests.factories import make_template, noop, start
from tests.people import asking, make_people, run_asking
from tests.restarting import ADA
from workflow_service.log_format import json_formatter

pytestmark = pytest.mark.usefixtures("db")

BROKEN = {"blockId": "bad", "toolType": "USE_CASE", "configuration": {"useCase": "no.such"}}


def lines_of(execution: Execution) -> list[tuple[str, str]]:
    rows = ExecutionLog.objects.filter(execution_id=execution.pk).order_by("id")
    return [(ExecutionLog.Level(row.level).name, row.message) for row in rows]


def told(caplog: pytest.LogCaptureFixture, name: str) -> dict[str, Any]:
    """Return the one line of that name as the JSON that a process writes."""
    records = [record for record in caplog.records if getattr(record, "event_name", "") == name]
    (record,) = records
    line: dict[str, Any] = json.loads(json_formatter().format(record))
    assert line["event"] == name
    return line


def test_a_run_is_told_from_its_start_to_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "workflow_service.executions")
    execution = run_until_quiet(start(make_template([noop("a")])))
    started = told(caplog, "workflow_execution_started")
    assert started["execution_id"] == execution.public_id
    assert started["workflow_id"] == execution.template.public_id
    completed = told(caplog, "workflow_execution_completed")
    assert completed["workflow_id"] == execution.template.public_id
    assert (completed["status"], completed["states_visited"]) == ("COMPLETED", 1)
    sentence = f"Workflow {execution.public_id} completed successfully in {completed['duration_ms']}ms"
    assert completed["message"] == sentence
    assert lines_of(execution) == [("INFO", sentence)]
    assert told(caplog, "block_started")["block_id"] == "a"
    assert told(caplog, "block_completed")["level"] == "debug"


def test_a_failure_is_told_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "workflow_service.executions")
    execution = run_until_quiet(start(make_template([BROKEN])))
    failed = told(caplog, "block_failed")
    assert (failed["block_id"], failed["error_type"]) == ("bad", "CONFIGURATION_ERROR")
    assert failed["message"].startswith("Block bad failed: there is no use case 'no.such'")
    assert failed["message"].endswith("(Agent: none)")
    ended = told(caplog, "workflow_execution_failed")
    assert (ended["level"], ended["error_type"]) == ("error", "CONFIGURATION_ERROR")
    assert ended["workflow_id"] == execution.template.public_id
    assert "exception" not in ended, "nothing was raised"
    assert [line for line in lines_of(execution) if line[0] == "ERROR"] == [
        ("ERROR", failed["message"]),
        ("ERROR", ended["message"]),
    ]
    assert not [record for record in caplog.records if record.levelno < logging.INFO]


def test_a_failure_is_told_with_its_traceback(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*arguments: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(running, "_work_on", break_down)
    caplog.set_level(logging.INFO, "workflow_service.executions")
    run_until_quiet(start(make_template([noop("a")])))
    assert "RuntimeError: a bug" in told(caplog, "workflow_execution_failed")["exception"]


def test_a_cancelled_run_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "workflow_service.executions")
    execution = start(make_template([noop("a")]))
    cancel_execution(execution.pk, ADA)
    assert told(caplog, "workflow_execution_cancelled")["workflow_id"] == execution.template.public_id


def test_a_question_to_people_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "workflow_service.executions")
    execution = run_asking(make_people(), asking())
    sentence = f"Human approval required for block load (Execution: {execution.public_id})"
    assert told(caplog, "human_approval_required")["message"] == sentence
    assert ("WARNING", sentence) in lines_of(execution)
    # What was done until then is kept.
    point = f"Recovery point created for execution {execution.public_id} at block load"
    assert told(caplog, "recovery_point_created")["message"] == point


def test_recovery_is_told_in_the_documented_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "workflow_service.executions")
    execution = start(make_template([noop("a")]))
    row = BlockExecution.objects.get(execution=execution)
    with command_transaction() as tx:
        run = lock_run(tx, execution.pk)
        assert run is not None
        settler = Settler(tx, run, compiled_version(run.version_id))
        log_lines.recovery_point_created(settler.journal, run, row)
        log_lines.block_reassigned(settler.journal, run, row, "one", "two")
        aftermath = conclude_locked(settler)
        assert not [
            record for record in caplog.records if getattr(record, "event_name", "") == "block_reassigned"
        ]
    send_aftermath(aftermath, execution.pk)
    assert lines_of(execution) == [
        ("INFO", f"Recovery point created for execution {execution.public_id} at block a"),
        ("INFO", "Block a reassigned from one to two"),
    ]
    assert told(caplog, "recovery_point_created")["execution_id"] == execution.public_id
    assert told(caplog, "block_reassigned")["new_agent_id"] == "two"


def test_any_record_becomes_one_json_object() -> None:
    record = logging.LogRecord("a.logger", logging.WARNING, __file__, 1, "%s rows", (3,), None)
    line = json.loads(json_formatter().format(record))
    assert (line["event"], line["message"], line["level"], line["logger"]) == (
        "3 rows",
        "3 rows",
        "warning",
        "a.logger",
    )
    assert "timestamp" in line


def test_what_an_agent_says_cannot_pass_for_a_line_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    announcement = Announcement("ERROR", "block_failed", "Block a failed: no\r\n[INFO] all is well", {})
    log_lines.write_to_process_log([announcement])
    assert told(caplog, "block_failed")["message"] == "Block a failed: no [INFO] all is well"

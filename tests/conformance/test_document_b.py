"""Document B, section by section, as far as it is there: reading, cancelling and telling of executions.

Its workflows, translation, optimisation and analytics come with the door of document B.
"""

import json
import logging
from typing import Any

import pytest

from executions_app.models import Execution
from templates_app.models import Template
from templates_app.services.templates import create_template
from tests.caller import Caller
from tests.driver import run_until_quiet
from tests.factories import branch, make_template, noop
from tests.house import House, make_house
from workflow_service.engine.states import TemplateStatus
from workflow_service.log_format import json_formatter

ONBOARDING: list[dict[str, Any]] = [
    noop(
        "validate_contact",
        {"is_valid": True},
        conditions={
            "branches": [branch("is_valid==True", "create_account"), branch(None, "reject")],
        },
    ),
    noop("create_account"),
    noop("reject"),
]


@pytest.fixture
def house(transactional_db: None) -> House:
    return make_house()


@pytest.fixture
def developer(house: House) -> Caller:
    return house.caller()


def started(developer: Caller, house: House, *blocks: dict[str, Any]) -> Execution:
    ends = [block["blockId"] for block in blocks] or ["create_account", "reject"]
    template = make_template(list(blocks or ONBOARDING), workspace=house.workspace, endDependencies=ends)
    body = {"templateId": template.public_id, "input": {"customer_email": "john@example.com"}}
    return Execution.objects.get(public_id=developer.post("executions", body).json()["executionId"])


class TestSection61Workflows:
    """The workflow definition model: a workflow is a template, its version an ordinal, its DSL written from it."""

    def test_every_documented_column_has_its_field(self) -> None:
        fields = {field.name: field for field in Template._meta.get_fields()}
        assert fields.keys() >= {
            "id", "name", "description", "nl_description", "owner", "status", "tags", "optimization_score",
            "last_optimization_check", "ai_suggestions", "created_at", "updated_at", "executions",
        }  # fmt: skip
        assert {status.value for status in TemplateStatus} == {"draft", "active", "archived", "deprecated"}

    def test_what_it_was_generated_from_is_kept(self, house: House) -> None:
        body: dict[str, Any] = {"name": "Customer Onboarding", "blocks": ONBOARDING}
        text = "When a new customer signs up:\n1. Validate their email"
        template = create_template(
            workspace=house.workspace, actor=house.developer, body=body, nl_description=text
        )
        template.refresh_from_db()
        assert (template.nl_description, template.optimization_score) == (text, None)


class TestSection71Executions:
    """Execution: status, history, cancel."""

    def test_a_run_is_shown_as_documented(self, developer: Caller, house: House) -> None:
        execution = started(developer, house)
        path = f"executions/{execution.public_id}"
        assert developer.get(path, {"view": "b"}).json()["status"] == "pending"
        run_until_quiet(execution)
        body = developer.get(path, {"view": "b"}).json()
        assert set(body) >= {
            "execution_id", "workflow_id", "workflow_name", "status", "current_state", "states_visited",
            "initial_context", "final_context", "start_time", "end_time", "duration_ms", "error_count", "retry_count",
            "ai_decisions",
        }  # fmt: skip
        assert (body["status"], body["current_state"], body["error_count"]) == ("completed", "end", 0)
        assert body["states_visited"] == ["start", "validate_contact", "create_account", "end"]
        assert body["initial_context"] == {"customer_email": "john@example.com"}
        assert body["final_context"] == body["initial_context"] | {"is_valid": True}
        assert isinstance(body["workflow_id"], int)

    def test_a_history_is_read_as_documented(self, developer: Caller, house: House) -> None:
        execution = run_until_quiet(started(developer, house))
        body = developer.get(f"executions/{execution.public_id}/history").json()
        assert set(body) >= {"execution_id", "transitions", "audit_logs"}
        for transition in body["transitions"]:
            assert set(transition) >= {
                "id", "from_state", "to_state", "transition_type", "condition_evaluated", "condition_result",
                "ai_decision_used", "ai_confidence_score", "timestamp", "duration_ms",
            }  # fmt: skip
        shown = [
            (way["id"], way["from_state"], way["to_state"], way["transition_type"])
            for way in body["transitions"]
        ]
        assert shown == [
            (1, "start", "validate_contact", "normal"),
            (2, "validate_contact", "create_account", "conditional"),
            (3, "create_account", "end", "normal"),
        ]
        chosen = body["transitions"][1]
        assert (chosen["condition_evaluated"], chosen["condition_result"]) == ("is_valid==True", True)
        assert body["audit_logs"]

    def test_a_run_is_cancelled_as_documented(self, developer: Caller, house: House) -> None:
        asks = noop("validate_contact", humanInLoop={"required": True})
        execution = run_until_quiet(started(developer, house, asks))
        body = developer.post(f"executions/{execution.public_id}/cancel").json()
        assert body["message"] == "Execution cancelled successfully"
        assert (body["execution_id"], body["final_state"]) == (execution.public_id, "validate_contact")
        shown = developer.get(f"executions/{execution.public_id}", {"view": "b"}).json()
        assert shown["status"] == "cancelled"


class TestSection122Logging:
    """Structured logging: the names of a run's events, and their fields."""

    def test_a_run_is_told_under_the_documented_names(
        self, developer: Caller, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "workflow_service.executions")
        good = run_until_quiet(started(developer, house))
        unfit = noop("one", {"n": "${nowhere}"}, retryPolicy={"maxRetries": 0})
        bad = run_until_quiet(started(developer, house, unfit))
        formatter = json_formatter()
        lines = [
            json.loads(formatter.format(record)) for record in caplog.records if hasattr(record, "event_name")
        ]
        told = {(line["execution_id"], line["event"]): line for line in lines}
        begun = told[good.public_id, "workflow_execution_started"]
        assert set(begun) >= {"timestamp", "level", "logger", "workflow_id", "execution_id"}
        assert "initial_context" not in begun, "it may hold secrets"
        ended = told[good.public_id, "workflow_execution_completed"]
        assert ended["workflow_id"] == good.template.public_id
        assert (ended["status"], ended["states_visited"]) == ("COMPLETED", 2)
        assert ended["duration_ms"] >= 0
        failed = told[bad.public_id, "workflow_execution_failed"]
        assert failed["workflow_id"] == bad.template.public_id
        assert failed["level"] == "error"
        assert failed["error_type"]
        assert failed["error_message"]

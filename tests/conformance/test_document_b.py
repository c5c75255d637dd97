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


class TestSection71Translation:
    """Words to a workflow, and back."""

    def test_a_description_is_translated_as_documented(self, developer: Caller) -> None:
        body = {
            "nl_description": "When a user uploads a file, validate it, scan for viruses, and store in S3",
            "context": {"domain": "file_processing", "style": "simple"},
        }
        answer = developer.post("workflows/translate", body)
        assert answer.status_code == 200, answer.content.decode()
        made = answer.json()
        assert set(made) >= {"dsl", "nl_explanation", "suggested_improvements"}
        assert made["dsl"] == (
            "start->validate_file;validate_file->scan_viruses;scan_viruses->store_in_s3;store_in_s3->end;"
        )
        assert made["nl_explanation"].startswith("This workflow ")
        assert all(isinstance(one, str) for one in made["suggested_improvements"])
        assert "Say what happens when 'validate_file' finds something wrong" in " ".join(
            made["suggested_improvements"]
        )
        assert made["method"] == "rules"

    def test_the_example_of_section_511_gives_its_dsl(self, developer: Caller) -> None:
        text = """
        Create a workflow that:
        1. Receives a user request
        2. Validates the input format
        3. If valid, process the data and send notification
        4. If invalid, log error and send rejection email
        """
        dsl = developer.post("workflows/translate", {"nl_description": text}).json()["dsl"]
        assert [line for line in dsl.split(";") if line] == [
            "start->receive_user_request",
            "receive_user_request->validate_input_format",
            "validate_input_format->process_data:is_valid==True",
            "validate_input_format->log_error:is_valid==False",
            "process_data->send_notification",
            "send_notification->end",
            "log_error->send_rejection_email",
            "send_rejection_email->end",
        ]

    def test_what_is_translated_becomes_a_workflow_that_may_run(self, developer: Caller) -> None:
        text = "Check the claim. If the amount is over 100, ask the manager for approval. Pay the claim."
        made = developer.post("workflows/translate", {"nl_description": text}).json()
        body = {
            "name": "Claims",
            "dsl": made["dsl"],
            "states": made["states"],
            "inputSchema": made["input_schema"],
        }
        answer = developer.post("templates", body)
        assert (answer.status_code, answer.json()["status"]) == (201, "active"), answer.content.decode()

    def test_a_workflow_is_explained_by_number_by_id_and_from_its_text(
        self, developer: Caller, house: House
    ) -> None:
        template = make_template(
            ONBOARDING, workspace=house.workspace, endDependencies=["create_account", "reject"]
        )
        said = [
            developer.post(f"workflows/{template.pk}/explain"),
            developer.post(f"workflows/{template.public_id}/explain"),
            developer.post(
                "workflows/explain",
                {"dsl": "start->validate_contact;validate_contact->create_account:is_valid==True;"
                        "validate_contact->reject:else;create_account->end;reject->end;"},
            ),
        ]  # fmt: skip
        assert [answer.status_code for answer in said] == [200, 200, 200]
        assert len({answer.json()["explanation"] for answer in said}) == 1
        assert "if it is valid, it creates the account" in said[0].json()["explanation"]
        stranger = make_house().caller()
        assert stranger.post(f"workflows/{template.pk}/explain").status_code == 404
        assert developer.post("workflows/999999999/explain").status_code == 404


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

"""Document B, section by section: every documented request is taken, every documented field of an answer is there."""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from executions_app.models import Execution, ExecutionEvent
from executions_app.selectors import events_after
from templates_app.models import Template
from templates_app.services.sharing import share_template
from templates_app.services.templates import create_template
from tests.caller import Caller, problem_of
from tests.driver import run_until_quiet
from tests.factories import branch, make_template, noop
from tests.house import House, make_house
from tests.past_runs import PastBlock, count_all, past_run
from workflow_service.accounts.models import Role
from workflow_service.accounts.policies import ShareRight
from workflow_service.engine.states import TemplateStatus
from workflow_service.log_format import json_formatter
from workflow_service.workflows_api.live_messages import messages_of

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

CREATION: dict[str, Any] = {
    "name": "Customer Onboarding",
    "description": "Process new customer registration and setup",
    "nl_description": """
        When a new customer signs up:
        1. Validate their email and phone
        2. Create account in database
        3. Send welcome email
        4. If enterprise customer, assign account manager
        5. Send notification to sales team
    """,
    "tags": ["onboarding", "sales"],
}
BY_DSL: dict[str, Any] = {
    "name": "Choice",
    "dsl": "start->measure;measure->high:value > 10;measure->low:else;high->end;low->end;",
    "states": {
        "measure": {
            "callback_type": "noop",
            "callback_config": {"output": {"value": "${workflow.input.value}"}},
            "timeout_seconds": 30,
        },
        "high": {"callback_type": "noop"},
        "low": {"callback_type": "noop"},
    },
}

SLOW: dict[str, Any] = {
    "name": "Three in a row",
    "dsl": "start->welcome;welcome->assign;assign->notify;notify->end;",
    "states": {name: {"callback_type": "noop"} for name in ("welcome", "assign", "notify")},
}
NOON = datetime(2025, 11, 3, 12, tzinfo=UTC)
FIELDS_OF_MESSAGES: dict[str, set[str]] = {
    "state_change": {"from_state", "to_state", "context"},
    "execution_complete": {"final_context"},
    "execution_error": {"error"},
    "ai_decision": {"state", "decision", "reasoning", "confidence"},
    "recovery_action": {"action", "error", "strategy", "reasoning"},
    "log": {"log"},
}


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


class TestSection71WorkflowManagement:
    """Workflow management: create, list, read, update, archive."""

    @pytest.fixture
    def house(self, db: None) -> House:
        return make_house()

    def test_a_workflow_is_created_from_words_as_documented(self, developer: Caller) -> None:
        answer = developer.post("workflows", CREATION)
        assert answer.status_code == 201, answer.content.decode()
        made = answer.json()
        assert set(made) >= {
            "id", "name", "dsl", "parsed_definition", "status", "optimization_score", "ai_suggestions", "created_at",
        }  # fmt: skip
        assert isinstance(made["id"], int)
        assert (made["name"], made["status"]) == ("Customer Onboarding", "active")
        assert made["tags"] == ["onboarding", "sales"]
        assert made["dsl"].startswith("start->validate_email;validate_email->create_account;"), made["dsl"]
        assert "\n" not in made["dsl"]
        assert {block["blockId"] for block in made["parsed_definition"]["blocks"]} >= {"send_welcome_email"}
        assert 0 <= made["optimization_score"] <= 100
        for suggestion in made["ai_suggestions"]:
            assert suggestion["type"] in ("performance", "reliability", "cost", "ux")
            assert suggestion["message"]
        assert answer["Location"] == f"/api/v1/workflows/{made['id']}"
        assert (
            developer.get(answer["Location"]).json()["nl_description"] == CREATION["nl_description"].strip()
        )

    def test_the_owner_may_be_named_and_somebody_else_by_administrators_alone(
        self, developer: Caller, house: House
    ) -> None:
        own = developer.post("workflows", {**BY_DSL, "owner_id": house.developer.pk})
        assert (own.status_code, own.json()["owner_id"]) == (201, house.developer.pk)
        admin = house.members[Role.ADMIN]
        problem_of(developer.post("workflows", {**BY_DSL, "owner_id": admin.pk}), 403, "FORBIDDEN")
        given = house.caller(Role.ADMIN).post("workflows", {**BY_DSL, "owner_id": house.developer.pk})
        assert given.json()["owner_id"] == house.developer.pk
        unfit = {**BY_DSL, "owner_id": house.members[Role.VIEWER].pk}
        problem_of(house.caller(Role.ADMIN).post("workflows", unfit), 422, "OWNER_UNFIT")
        nobody = {**BY_DSL, "owner_id": 999_999_999}
        problem_of(house.caller(Role.ADMIN).post("workflows", nobody), 404, "GRANTEE_NOT_FOUND")

    def test_a_graph_without_work_is_a_draft_and_says_why(self, developer: Caller) -> None:
        made = developer.post("workflows", {"name": "Bare", "dsl": BY_DSL["dsl"]}).json()
        assert (made["status"], made["optimization_score"]) == ("draft", 0)
        assert {one["type"] for one in made["findings"] if one["severity"] == "ERROR"} == {"NO_WORK"}
        assert {one["block_id"] for one in made["findings"]} >= {"measure", "high", "low"}
        refused = developer.post(f"workflows/{made['id']}/execute", {})
        problem_of(refused, 422, "TEMPLATE_NOT_RUNNABLE")

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"name": "x"}, "/nl_description"),
            ({"dsl": "start->a;a->end;"}, "/name"),
            ({"name": "x", "states": {"a": {}}}, "/states"),
            ({"name": "x", "dsl": "start->a;", "parsed_definition": {"blocks": []}}, "/parsed_definition"),
            ({"name": "x", "dsl": "start=>a;"}, "/dsl"),
            ({"name": "x", "dsl": "start->a;a->end;", "states": [{"type": "end"}]}, "/states/0"),
            ({"name": "x", "dsl": "start->a;a->end;", "states": {"a": {"callback_type": "magic"}}}, "/states/a"),
            ({"name": "x", "parsed_definition": {"blocks": [{}]}}, "/parsed_definition/blocks/0"),
            ({"name": "x", "nl_descripton": "Send it."}, "/nl_descripton"),
            ({"name": "x", "dsl": "start->a;", "status": "archived"}, "/status"),
        ],
        ids=[
            "nothing", "no-name", "states-alone", "two-graphs", "bad-dsl", "unnamed-state", "bad-state",
            "bad-definition", "unknown-field", "made-archived",
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_named_where_it_is(
        self, developer: Caller, body: dict[str, Any], pointer: str
    ) -> None:
        answer = developer.post("workflows", body)
        assert answer.status_code == 422, answer.content.decode()
        assert answer.json()["errors"][0]["pointer"].startswith(pointer), answer.json()

    def test_workflows_are_listed_as_documented(self, developer: Caller, house: House) -> None:
        for name, tags in (("Refunds", ["money"]), ("Invoices", ["money", "monthly"]), ("Holidays", [])):
            assert developer.post("workflows", {**BY_DSL, "name": name, "tags": tags}).status_code == 201
        page = developer.get("workflows", {"page": 1, "page_size": 2}).json()
        assert (page["total"], page["page"], page["page_size"]) == (3, 1, 2)
        assert [one["name"] for one in page["workflows"]] == ["Holidays", "Invoices"]
        assert [
            one["name"] for one in developer.get("workflows", {"page": 2, "page_size": 2}).json()["workflows"]
        ] == ["Refunds"]

        def named(**query: Any) -> list[str]:
            answer = developer.get("workflows", query)
            assert answer.status_code == 200, answer.content.decode()
            return [one["name"] for one in answer.json()["workflows"]]

        assert named(tags="money,monthly") == ["Invoices"]
        assert named(search="refund") == ["Refunds"]
        assert named(owner_id=house.developer.pk, status="active") == ["Holidays", "Invoices", "Refunds"]
        assert named(owner_id=house.developer.pk + 1) == named(status="draft") == []
        first = developer.get("workflows").json()["workflows"][0]
        assert developer.delete(f"workflows/{first['id']}").status_code == 200
        assert named() == ["Invoices", "Refunds"]
        assert named(status="archived") == ["Holidays"]
        assert developer.get("workflows").json()["page_size"] == 20
        problem_of(developer.get("workflows", {"page": 0}), 400, "INVALID_QUERY")
        assert make_house().caller().get("workflows").json()["total"] == 0

    def test_a_workflow_is_read_as_documented(self, developer: Caller) -> None:
        made = developer.post("workflows", BY_DSL).json()
        answer = developer.get(f"workflows/{made['id']}")
        shown = answer.json()
        assert set(shown) >= {
            "id", "name", "description", "dsl", "nl_description", "parsed_definition", "states", "statistics",
            "optimization_score", "ai_suggestions",
        }  # fmt: skip
        assert shown["dsl"] == BY_DSL["dsl"]
        assert shown["statistics"] == {
            "total_executions": 0, "success_rate": None, "avg_duration_ms": None, "error_rate": None,
        }  # fmt: skip
        states = {state["name"]: state for state in shown["states"]}
        assert states.keys() == {"measure", "high", "low"}
        assert states["measure"] | {"retry_policy": None} == {
            "name": "measure",
            "type": "conditional",
            "description": "",
            "callback_type": "noop",
            "callback_config": {"output": {"value": "${workflow.input.value}"}},
            "timeout_seconds": 30.0,
            "retry_policy": None,
        }
        assert (states["high"]["type"], states["high"]["timeout_seconds"]) == ("intermediate", 300.0)
        assert answer["ETag"]
        assert developer.get(f"workflows/{shown['template_id']}").json() == shown
        problem_of(developer.get("workflows/999999999"), 404, "WORKFLOW_NOT_FOUND")
        problem_of(make_house().caller().get(f"workflows/{made['id']}"), 404, "WORKFLOW_NOT_FOUND")

    def test_what_is_read_can_be_written_back(self, developer: Caller) -> None:
        made = developer.post("workflows", BY_DSL).json()
        for again in (
            {"name": "Copy", "parsed_definition": made["parsed_definition"]},
            {"name": "Copy", "dsl": made["dsl"], "states": made["states"]},
        ):
            copy = developer.post("workflows", again).json()
            assert (copy["dsl"], copy["states"]) == (made["dsl"], made["states"])

    def test_a_workflow_is_changed_as_documented(self, developer: Caller) -> None:
        made = developer.post("workflows", {**BY_DSL, "tags": ["kept"]}).json()
        body = {
            "name": "Updated name",
            "description": "Updated description",
            "dsl": "start->measure;measure->high;high->end;",
            "status": "active",
        }
        answer = developer.put(f"workflows/{made['id']}", body)
        assert answer.status_code == 200, answer.content.decode()
        changed = answer.json()
        assert {key: changed[key] for key in body} == body
        assert (changed["version"], changed["tags"]) == (2, ["kept"])
        # What a state does stays where the graph still has it.
        measure = next(state for state in changed["states"] if state["name"] == "measure")
        assert measure["callback_config"] == {"output": {"value": "${workflow.input.value}"}}
        assert measure["type"] == "intermediate"
        renamed = developer.put(f"workflows/{made['id']}", {"name": "Once more"}).json()
        assert (renamed["name"], renamed["version"], renamed["dsl"]) == ("Once more", 2, body["dsl"])
        other = developer.put(
            f"workflows/{made['id']}", {"states": {"high": {"callback_type": "noop", "timeout_seconds": 5}}}
        ).json()
        high = next(state for state in other["states"] if state["name"] == "high")
        assert (other["version"], high["timeout_seconds"], high["callback_type"]) == (3, 5.0, "noop")
        assert other["status"] == "active"

    def test_a_change_is_refused_where_the_workflow_was_changed_meanwhile(self, developer: Caller) -> None:
        answer = developer.post("workflows", BY_DSL)
        path, tag = f"workflows/{answer.json()['id']}", {"If-Match": answer["ETag"]}
        changed = developer.put(path, {"name": "First"}, **tag)
        assert changed.status_code == 200
        assert changed["ETag"] != answer["ETag"]
        problem_of(developer.put(path, {"name": "Second"}, **tag), 412, "STALE_TEMPLATE")
        problem_of(developer.delete(path, **tag), 412, "STALE_TEMPLATE")

    def test_new_words_make_a_new_version(self, developer: Caller) -> None:
        made = developer.post("workflows", {"nl_description": "Check the claim. Pay the claim."}).json()
        words = "Check the claim. Ask the manager for approval. Pay the claim."
        changed = developer.put(f"workflows/{made['id']}", {"nl_description": words}).json()
        assert (changed["version"], changed["nl_description"], changed["method"]) == (2, words, "rules")
        assert "approval" in changed["dsl"]

    def test_a_workflow_is_archived_as_documented(self, developer: Caller) -> None:
        made = developer.post("workflows", BY_DSL).json()
        answer = developer.delete(f"workflows/{made['id']}")
        assert (answer.status_code, answer.json()) == (
            200, {"message": "Workflow archived successfully", "workflow_id": made["id"]},
        )  # fmt: skip
        assert developer.get(f"workflows/{made['id']}").json()["status"] == "archived"
        problem_of(developer.put(f"workflows/{made['id']}", {"name": "x"}), 409, "TEMPLATE_ARCHIVED")
        problem_of(developer.post(f"workflows/{made['id']}/execute", {}), 422, "TEMPLATE_NOT_RUNNABLE")

    def test_a_creation_that_is_sent_twice_is_carried_out_once(self, developer: Caller) -> None:
        first = developer.post("workflows", CREATION, **{"Idempotency-Key": "once"})
        again = developer.post("workflows", CREATION, **{"Idempotency-Key": "once"})
        assert (again.status_code, again.json()) == (201, first.json())
        assert again["Idempotent-Replayed"] == "true"
        assert developer.get("workflows").json()["total"] == 1


class TestSection71WorkflowExecution:
    """Workflow execution: a run by document B's door is shown by it."""

    def test_a_workflow_is_executed_as_documented(self, developer: Caller) -> None:
        made = developer.post("workflows", BY_DSL).json()
        body = {
            "initial_context": {"value": 12},
            "execution_options": {
                "enable_ai_decisions": True,
                "enable_auto_recovery": True,
                "timeout_seconds": 300,
                "priority": "high",
            },
        }
        answer = developer.post(f"workflows/{made['id']}/execute", body)
        assert answer.status_code == 200, answer.content.decode()
        started = answer.json()
        assert started.keys() == {
            "execution_id", "workflow_id", "status", "current_state", "start_time", "websocket_url",
        }  # fmt: skip
        assert (started["workflow_id"], started["status"]) == (made["id"], "running")
        assert started["current_state"] == "measure"
        assert started["websocket_url"] == f"ws://testserver/ws/executions/{started['execution_id']}"
        execution = Execution.objects.get(public_id=started["execution_id"])
        assert (execution.priority, execution.timeout_ms) == ("high", 300_000)
        assert execution.given.options == {
            "enableAiDecisions": True, "enableAutoRecovery": True, "priority": "high", "timeout": 300_000,
        }  # fmt: skip
        run_until_quiet(execution)
        # It was started by document B's door, and is shown by it.
        shown = developer.get(f"executions/{started['execution_id']}").json()
        assert (shown["status"], shown["workflow_id"]) == ("completed", made["id"])
        assert shown["states_visited"] == ["start", "measure", "high", "end"]
        statistics = developer.get(f"workflows/{made['id']}").json()["statistics"]
        assert (statistics["total_executions"], statistics["success_rate"], statistics["error_rate"]) == (
            1,
            100.0,
            0.0,
        )

    def test_a_start_that_is_sent_twice_starts_one_run(self, developer: Caller) -> None:
        made = developer.post("workflows", BY_DSL).json()
        other = developer.post("workflows", BY_DSL).json()
        key = {"Idempotency-Key": "start"}
        first = developer.post(f"workflows/{made['id']}/execute", {"initial_context": {"value": 1}}, **key)
        again = developer.post(f"workflows/{made['id']}/execute", {"initial_context": {"value": 1}}, **key)
        assert again.json() == first.json()
        assert again["Idempotent-Replayed"] == "true"
        elsewhere = developer.post(
            f"workflows/{other['id']}/execute", {"initial_context": {"value": 1}}, **key
        )
        problem_of(elsewhere, 409, "IDEMPOTENCY_CONFLICT")
        assert Execution.objects.count() == 1

    def test_what_does_not_fit_is_said_of_the_field_that_was_sent(
        self, developer: Caller, house: House
    ) -> None:
        made = make_template(
            [noop("a")], workspace=house.workspace, inputSchema={"type": "object", "required": ["value"]}
        )
        answer = developer.post(f"workflows/{made.pk}/execute", {"initial_context": {}})
        problem_of(answer, 422, "INPUT_REJECTED")
        assert [one["pointer"] for one in answer.json()["errors"]] == ["/initial_context"]

    def test_who_may_execute_is_who_may_start_or_was_given_the_right(
        self, developer: Caller, house: House
    ) -> None:
        made = developer.post("workflows", BY_DSL).json()
        viewer = house.caller(Role.VIEWER)
        body = {"initial_context": {"value": 1}}
        problem_of(viewer.post(f"workflows/{made['id']}/execute", body), 403, "FORBIDDEN")
        problem_of(viewer.put(f"workflows/{made['id']}", {"name": "x"}), 403, "FORBIDDEN")
        name = house.members[Role.VIEWER].get_username()
        share_template(
            template=Template.objects.get(pk=made["id"]),
            actor=house.developer,
            grantee=f"user:{name}",
            rights=[ShareRight.EXECUTE],
        )
        assert viewer.post(f"workflows/{made['id']}/execute", body).status_code == 200


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


class TestSection71Optimization:
    """What would make a workflow better."""

    @pytest.fixture
    def house(self, db: None) -> House:
        return make_house()

    def test_optimizations_are_suggested_as_documented(self, developer: Caller) -> None:
        made = developer.post("workflows", SLOW).json()
        template = Template.objects.get(pk=made["id"])
        for number in range(30):
            at = timezone.now() - timedelta(days=2, minutes=-number)
            past_run(template, at, [PastBlock(name, 1_000) for name in ("welcome", "assign", "notify")])
        count_all()
        answer = developer.post(f"workflows/{made['id']}/optimize")
        assert answer.status_code == 200, answer.content.decode()
        report = answer.json()
        assert report.keys() >= {
            "workflow_id", "current_optimization_score", "suggested_optimizations", "potential_score",
        }  # fmt: skip
        assert report["workflow_id"] == made["id"]
        assert 0 <= report["current_optimization_score"] <= report["potential_score"] <= 100
        assert (report["analyzed_executions"], report["model"]) == (30, None)
        for one in report["suggested_optimizations"]:
            assert one.keys() >= {
                "type", "title", "description", "estimated_improvement", "implementation_effort", "priority",
                "proposed_changes",
            }  # fmt: skip
            assert one["type"] in ("performance", "reliability", "cost", "ux")
            assert one["implementation_effort"] in ("low", "medium", "high")
            assert 1 <= one["priority"] <= 5
            assert 1 <= one["estimated_improvement"] <= 100
        shown = developer.get(f"workflows/{made['id']}").json()
        assert shown["optimization_score"] == report["current_optimization_score"]
        assert [one["message"] for one in shown["ai_suggestions"]] == [
            one["title"] for one in report["suggested_optimizations"]
        ]
        assert shown["last_optimization_check"]

    def test_who_may_not_change_a_workflow_has_it_not_analysed(self, developer: Caller, house: House) -> None:
        made = developer.post("workflows", BY_DSL).json()
        problem_of(house.caller(Role.VIEWER).post(f"workflows/{made['id']}/optimize"), 403, "FORBIDDEN")
        problem_of(make_house().caller().post(f"workflows/{made['id']}/optimize"), 404, "WORKFLOW_NOT_FOUND")


class TestSection71Analytics:
    """How the runs of a workflow went."""

    @pytest.fixture
    def house(self, db: None) -> House:
        return make_house()

    @pytest.fixture
    def workflow(self, developer: Caller) -> int:
        """A workflow with ten runs of 3 s, two of which were retried and one of which failed."""
        template = Template.objects.get(pk=developer.post("workflows", SLOW).json()["id"])
        for number in range(10):
            troubled = PastBlock("assign", 1_500, failures=int(number < 2), error="TIMEOUT_ERROR")
            lost = PastBlock("assign", 1_500, "FAILED", "NETWORK_ERROR")
            blocks = [PastBlock("welcome", 1_500), lost if number == 9 else troubled]
            status = "FAILED" if number == 9 else "COMPLETED"
            past_run(template, NOON + timedelta(hours=number), blocks, status)
        count_all()
        return template.pk

    def test_analytics_are_read_as_documented(self, developer: Caller, workflow: int) -> None:
        query = {
            "start_date": "2025-10-18T00:00:00Z",
            "end_date": "2025-11-18T23:59:59Z",
            "granularity": "day",
        }
        answer = developer.get(f"workflows/{workflow}/analytics", query)
        assert answer.status_code == 200, answer.content.decode()
        body = answer.json()
        assert body.keys() >= {
            "workflow_id", "time_range", "statistics", "error_analysis", "state_performance", "ai_insights",
        }  # fmt: skip
        assert (body["workflow_id"], body["granularity"]) == (workflow, "day")
        assert body["time_range"] == {
            "start": "2025-10-18T00:00:00.000000Z",
            "end": "2025-11-19T00:00:00.000000Z",
        }
        statistics = body["statistics"]
        assert {key: statistics[key] for key in statistics if "duration" not in key} == {
            "total_executions": 10, "successful_executions": 9, "failed_executions": 1, "cancelled_executions": 0,
            "success_rate": 90.0, "running_executions": 0, "uncounted_executions": 0,
        }  # fmt: skip
        for name in ("avg", "p50", "p95", "p99"):
            assert statistics[f"{name}_duration_ms"] == pytest.approx(3_000, rel=0.02)
        errors = {one["error_type"]: one for one in body["error_analysis"]["most_common_errors"]}
        assert (errors["TIMEOUT_ERROR"]["count"], errors["TIMEOUT_ERROR"]["states"]) == (2, ["assign"])
        assert body["error_analysis"]["auto_recovery_rate"] == pytest.approx(100 * 2 / 3, abs=0.01)
        states = {one["state"]: one for one in body["state_performance"]}
        assert (states["assign"]["error_rate"], states["welcome"]["error_rate"]) == (10.0, 0.0)
        assert states["welcome"]["avg_duration_ms"] == 1_500
        assert len(body["series"]) == 32
        assert sum(point["total_executions"] for point in body["series"]) == 10
        assert all(isinstance(one, str) for one in body["ai_insights"])

    @pytest.mark.parametrize(
        ("granularity", "points"),
        [("hour", 24 * 32), ("week", 6), ("month", 2)],
        ids=["hour", "week", "month"],
    )
    def test_a_series_is_as_long_as_its_granularity_says(
        self, developer: Caller, workflow: int, granularity: str, points: int
    ) -> None:
        query = {"start_date": "2025-10-18", "end_date": "2025-11-19", "granularity": granularity}
        body = developer.get(f"workflows/{workflow}/analytics", query).json()
        assert len(body["series"]) == points
        assert sum(point["failed_executions"] for point in body["series"]) == 1

    def test_what_cannot_be_asked_is_refused(self, developer: Caller, workflow: int) -> None:
        path = f"workflows/{workflow}/analytics"
        backwards = {"start_date": "2025-11-19", "end_date": "2025-11-18"}
        problem_of(developer.get(path, backwards), 400, "INVALID_TIME_RANGE")
        problem_of(developer.get(path, {"granularity": "year"}), 400, "INVALID_QUERY")
        problem_of(make_house().caller().get(path), 404, "WORKFLOW_NOT_FOUND")
        empty = developer.get(path).json()["statistics"]
        assert (empty["total_executions"], empty["success_rate"]) == (0, None)


class TestSection72WebSocket:
    """The six messages of an execution's stream; where they are sent is tested with the sockets."""

    def test_messages_have_the_documented_fields(self, developer: Caller, house: House) -> None:
        unfit = noop("validate_contact", {"n": "${nowhere}"}, retryPolicy={"maxRetries": 0})
        execution = run_until_quiet(started(developer, house, unfit))
        events = events_after(execution, 0, 1_000)
        events.append(
            ExecutionEvent(
                execution_id=execution.pk, seq=len(events) + 1, type="ai_decision", created_at=timezone.now(),
                data={"state": "validate_contact", "decision": "Route to create_account", "reasoning": "Valid",
                      "confidence": 95, "source": "model"},
            )
        )  # fmt: skip
        messages = [message for _, message in messages_of(execution, events)]
        assert {message["type"] for message in messages} == FIELDS_OF_MESSAGES.keys() - {"execution_complete"}
        good = run_until_quiet(started(developer, house))
        messages += [message for _, message in messages_of(good, events_after(good, 0, 1_000))]
        for message in messages:
            assert message.keys() >= FIELDS_OF_MESSAGES[str(message["type"])] | {"execution_id", "timestamp"}
        changed = [(one["from_state"], one["to_state"]) for one in messages if one["type"] == "state_change"]
        assert ("validate_contact", "create_account") in changed


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

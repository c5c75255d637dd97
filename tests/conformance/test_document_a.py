"""Document A, section by section: every documented request is accepted and every documented field answered.

The bodies are the document's own, with this server's ids; of the tools it names, those that are not installed here
are replaced by NOOP, and said so.
"""

import logging
import re
from typing import Any

import pytest
from django.conf import settings

from executions_app.models import Execution, ExecutionLog
from tests.caller import Caller
from tests.driver import run_until_quiet
from tests.factories import branch, make_agent, make_template, noop, register_named_agents, start
from tests.house import House, make_house
from workflow_service.accounts.models import Role
from workflow_service.engine.definition import RetryPolicy
from workflow_service.engine.recovery import classify
from workflow_service.engine.states import ErrorClass, ErrorType
from workflow_service.log_format import PlainFormatter
from workflow_service.operations.configuration import describe_settings

RETRY = {"maxRetries": 3, "backoffStrategy": "exponential"}
# Section 4.1, every field of it.
TEMPLATE: dict[str, Any] = {
    "name": "ETL Pipeline",
    "description": "Extract, Transform, Load workflow",
    "version": "1.2.0",
    "tags": ["etl", "automation"],
    "metadata": {"estimatedDuration": 1800, "complexity": "medium", "category": "data-processing"},
    "blocks": [
        {
            "blockId": "extract_data",
            "name": "Extract Source Data",
            "description": "Extract data from source systems",
            "agentId": "data-extractor",
            "agentType": "SCRIPT",
            "toolType": "NOOP",
            "configuration": {"output": {"recordCount": 10_000, "sources": ["database", "api", "files"]}},
            "dependencies": [],
            "conditions": {
                "type": "exclusive",
                "branches": [
                    {"condition": "recordCount > 100", "nextBlocks": ["load_data"]},
                    {"condition": "else", "nextBlocks": ["report"]},
                ],
            },
            "humanInLoop": {"required": False},
            "retryPolicy": RETRY | {"retryConditions": ["TIMEOUT_ERROR", "NETWORK_ERROR"]},
        },
        {
            "blockId": "load_data",
            "name": "Load",
            "description": "Load what was extracted",
            "agentId": "data-loader",
            "agentType": "SCRIPT",
            "toolType": "NOOP",
            "configuration": {"output": {"loaded": "${blocks.extract_data.output.recordCount}"}},
            "humanInLoop": {
                "required": True,
                "type": "APPROVAL",
                "approvalLevel": "MANAGER",
                "inputSchema": {"type": "object", "properties": {"note": {"type": "string"}}},
            },
            "retryPolicy": RETRY,
        },
        {"blockId": "report", "name": "Report", "toolType": "NOOP", "configuration": {}},
    ],
    "globalSettings": {
        "timeout": 3_600_000,
        "maxParallelBlocks": 5,
        "defaultRetryPolicy": RETRY,
        "humanInLoopDefaults": {"required": False},
    },
}


@pytest.fixture
def house(transactional_db: None) -> House:
    return make_house()


@pytest.fixture
def developer(house: House) -> Caller:
    return house.caller()


def fields(document: dict[str, Any]) -> set[str]:
    return set(document)


class TestSection51Templates:
    """Template management."""

    def test_a_template_is_made_and_read_as_documented(self, developer: Caller, house: House) -> None:
        made = developer.post("templates", TEMPLATE)
        assert made.status_code == 201, made.content
        shown = developer.get(f"templates/{made.json()['templateId']}").json()
        assert fields(shown) >= {
            "templateId", "name", "description", "version", "createdAt", "updatedAt", "createdBy", "tags", "metadata",
            "blocks", "globalSettings",
        }  # fmt: skip
        assert shown["templateId"].startswith("tpl_")
        assert shown["createdBy"] == house.developer.public_id
        for key in ("name", "description", "version", "tags", "metadata"):
            assert shown[key] == TEMPLATE[key], key
        for given, answered in zip(TEMPLATE["blocks"][:2], shown["blocks"], strict=False):
            for key in set(given) - {"conditions", "humanInLoop"}:
                assert answered[key] == given[key], key
        for block in shown["blocks"]:
            assert fields(block) >= {
                "blockId", "name", "description", "agentId", "agentType", "toolType", "configuration", "dependencies",
                "humanInLoop", "retryPolicy",
            }  # fmt: skip
        assert shown["blocks"][1]["humanInLoop"]["approvalLevel"] == "MANAGER"
        assert fields(shown["globalSettings"]) >= {"timeout", "maxParallelBlocks", "defaultRetryPolicy"}
        assert shown["globalSettings"]["timeout"] == 3_600_000

    def test_templates_are_listed_as_documented(self, developer: Caller) -> None:
        developer.post("templates", TEMPLATE)
        query = {"category": "data-processing", "tags": "etl,automation", "limit": 10, "offset": 0}
        body = developer.get("templates", query).json()
        assert (body["total"], body["limit"], body["offset"]) == (1, 10, 0)
        (entry,) = body["templates"]
        assert fields(entry) >= {
            "templateId", "name", "description", "category", "tags", "createdAt", "metadata",
        }  # fmt: skip
        assert entry["category"] == "data-processing"
        assert fields(entry["metadata"]) >= {"estimatedDuration", "complexity"}

    def test_a_template_is_validated_as_documented(self, developer: Caller) -> None:
        missing = [noop("block_load", dependencies=["block_validate"])]
        made = developer.post("templates", {"name": "T", "blocks": missing}).json()
        body = developer.post(f"templates/{made['templateId']}/validate").json()
        assert fields(body) == {"valid", "issues", "recommendations"}
        assert body["valid"] is False
        (issue,) = body["issues"]
        assert fields(issue) >= {"type", "severity", "blockId", "message", "suggestion"}
        assert (issue["type"], issue["blockId"]) == ("MISSING_DEPENDENCY", "block_load")

    def test_an_agent_that_is_not_there_and_idle_waits_are_told_as_documented(
        self, developer: Caller, house: House
    ) -> None:
        make_agent(house.workspace, "data-transformer-v1")
        blocks = [
            noop("block_extract_1", {"orders": 10}),
            noop("block_extract_2", {"customers": 5}, dependencies=["block_extract_1"]),
            noop(
                "block_transform",
                {"joined": "${orders} ${customers}"},
                dependencies=["block_extract_2"],
                agentId="data-transformer-v2",
            ),
        ]
        made = developer.post("templates", {"name": "T", "blocks": blocks}).json()
        body = developer.post(f"templates/{made['templateId']}/validate").json()
        assert body["valid"] is False
        (issue,) = body["issues"]
        documented = ("type", "severity", "blockId", "message", "suggestion")
        assert [issue[key] for key in documented] == [
            "AGENT_UNAVAILABLE",
            "ERROR",
            "block_transform",
            "Agent 'data-transformer-v2' is not available",
            "Use 'data-transformer-v1' instead",
        ]
        (advice,) = body["recommendations"]
        assert fields(advice) >= {"type", "message", "impact"}
        assert (advice["type"], advice["impact"]) == ("OPTIMIZATION", "33% performance improvement")
        assert advice["message"].startswith(
            "Blocks 'block_extract_1' and 'block_extract_2' can be executed in parallel"
        )


class TestSection51Generation:
    """A template from a goal."""

    def test_a_template_is_generated_as_documented(self, developer: Caller) -> None:
        body = {
            "goal": "Create a data processing pipeline that extracts data from CSV files, validates the data,"
            " transforms it, and loads it into a database",
            "constraints": {
                "maxBlocks": 20,
                "timeout": 3_600_000,
                "preferredAgents": ["data-processor", "validator"],
            },
            "preferences": {"parallelExecution": True, "humanApproval": False, "errorHandling": "aggressive"},
        }
        answer = developer.post("templates/generate", body)
        assert answer.status_code == 201, answer.content.decode()
        made = answer.json()
        template = made["template"]
        assert made["templateId"] == template["templateId"]
        assert set(template) >= {
            "templateId",
            "name",
            "description",
            "version",
            "createdAt",
            "blocks",
            "globalSettings",
        }
        assert (template["name"], template["version"]) == ("Data processing pipeline", "1.0.0")
        for block in template["blocks"]:
            assert set(block) >= {"blockId", "name", "agentId", "toolType", "dependencies", "configuration"}
        dependencies = {block["blockId"]: block["dependencies"] for block in template["blocks"]}
        assert dependencies["extract_data"] == []
        assert dependencies["validate_data"] == ["extract_data"]
        assert template["globalSettings"]["timeout"] == 3_600_000
        assert template["globalSettings"]["maxParallelBlocks"] == 5


class TestSection52Executions:
    """Execution management."""

    def test_a_run_is_started_as_documented(self, developer: Caller, house: House) -> None:
        register_named_agents(house.workspace, TEMPLATE["blocks"])
        template_id = developer.post("templates", TEMPLATE).json()["templateId"]
        answer = developer.post(
            "executions",
            {
                "templateId": template_id,
                "workspaceId": house.workspace.public_id,
                "input": {
                    "csvPath": "/data/input/sales_data.csv",
                    "outputDatabase": "analytics_db",
                    "validationRules": {
                        "required_columns": ["date", "amount", "customer_id"],
                        "date_format": "YYYY-MM-DD",
                    },
                },
                "options": {
                    "priority": "high",
                    "notifications": {"onComplete": True, "onError": True, "channels": ["email", "webhook"]},
                },
            },
        )
        assert answer.status_code == 202
        body = answer.json()
        assert fields(body) >= {
            "executionId", "status", "templateId", "workspaceId", "startedAt", "estimatedDuration", "currentBlocks",
            "nextBlocks",
        }  # fmt: skip
        assert body["executionId"].startswith("exec_")
        assert (body["status"], body["templateId"], body["workspaceId"]) == (
            "STARTING",
            template_id,
            house.workspace.public_id,
        )
        assert (body["estimatedDuration"], body["currentBlocks"], body["nextBlocks"]) == (
            1800,
            [],
            ["extract_data"],
        )
        given = developer.get(f"executions/{body['executionId']}").json()["input"]
        assert given["validationRules"] == {
            "required_columns": ["date", "amount", "customer_id"],
            "date_format": "YYYY-MM-DD",
        }

    def test_a_run_is_shown_as_documented(self, developer: Caller, house: House) -> None:
        chain = [
            noop("block_extract", {"recordCount": 10_000}, agentId="data-processor"),
            noop("block_validate", {"valid": True}, dependencies=["block_extract"]),
            noop("block_load", dependencies=["block_validate"], humanInLoop={"required": True}),
        ]
        execution = run_until_quiet(start(make_template(chain, workspace=house.workspace)))
        body = developer.get(f"executions/{execution.public_id}").json()
        assert fields(body) >= {
            "executionId", "templateId", "templateVersion", "workspaceId", "status", "startedAt", "completedAt",
            "createdBy", "progress", "currentBlocks", "completedBlocks", "failedBlocks", "blockedBlocks",
            "blockExecutions", "globalContext", "metrics", "recoveryPoints",
        }  # fmt: skip
        assert body["progress"] == {
            "totalBlocks": 3,
            "completedBlocks": 2,
            "currentBlocks": 0,
            "failedBlocks": 0,
            "percentage": 66,
        }
        assert (body["completedBlocks"], body["blockedBlocks"]) == (
            ["block_extract", "block_validate"],
            ["block_load"],
        )
        first, _, waiting = body["blockExecutions"]
        assert fields(first) >= {
            "blockId", "executionId", "agentId", "status", "startedAt", "completedAt", "duration", "input", "output",
            "error", "retryCount", "humanInteractions",
        }  # fmt: skip
        assert first["executionId"].startswith("block_exec_")
        assert (first["agentId"], first["status"], first["retryCount"]) == ("data-processor", "COMPLETED", 0)
        assert first["output"] == {"recordCount": 10_000}
        (asked,) = waiting["humanInteractions"]
        assert fields(asked) == {"type", "requestedAt", "respondedAt", "response", "approver"}
        assert body["globalContext"]["recordCount"] == 10_000
        assert fields(body["metrics"]) >= {"executionTime", "resourceUsage"}
        assert fields(body["metrics"]["resourceUsage"]) == {"cpu", "memory"}

    def test_logs_are_read_as_documented(self, developer: Caller, house: House) -> None:
        execution = start(make_template([noop("block_transform")], workspace=house.workspace))
        ExecutionLog.objects.create(
            execution_id=execution.pk,
            block_id="block_transform",
            agent_id="data-processor",
            level=ExecutionLog.Level.ERROR,
            message="Data transformation failed: Invalid date format in row 1523",
            context={"rowNumber": 1523, "invalidValue": "2025-13-45", "expectedFormat": "YYYY-MM-DD"},
            stack_trace="TransformationError: Invalid date format",
            created_at=execution.started_at,
        )
        query = {"level": "ERROR", "blockId": "block_transform", "limit": 50, "offset": 0}
        body = developer.get(f"executions/{execution.public_id}/logs", query).json()
        assert {key: body[key] for key in ("total", "limit", "offset", "hasMore")} == {
            "total": 1,
            "limit": 50,
            "offset": 0,
            "hasMore": False,
        }
        (line,) = body["logs"]
        assert fields(line) == {
            "id", "timestamp", "level", "message", "blockId", "agentId", "executionId", "context", "stackTrace",
        }  # fmt: skip
        assert line["id"].startswith("log_")
        assert (line["level"], line["executionId"]) == ("ERROR", execution.public_id)
        assert line["context"]["invalidValue"] == "2025-13-45"

    def test_commands_are_given_and_answered_as_documented(self, developer: Caller, house: House) -> None:
        blocks = [
            noop("block_extract", {"extractedRecords": 10_000}),
            noop("block_transform", {"validatedRecords": 9_850}, dependencies=["block_extract"]),
            noop("block_load", dependencies=["block_transform"], humanInLoop={"required": True}),
        ]
        template = make_template(blocks, workspace=house.workspace)
        started = developer.post("executions", {"templateId": template.public_id}).json()
        path = f"executions/{started['executionId']}"
        run_until_quiet(Execution.objects.get(public_id=started["executionId"]))
        paused = developer.post(f"{path}/pause")
        resumed = developer.post(f"{path}/resume")
        cancelled = developer.post(f"{path}/cancel")
        restarted = developer.post(
            f"{path}/restart",
            {
                "fromBlock": "block_transform",
                "resetState": False,
                "options": {"skipFailedBlocks": False, "reassignAgents": True, "preserveContext": True},
            },
        )
        for answer in (paused, resumed, cancelled, restarted):
            assert answer.status_code == 200, answer.content
            body = answer.json()
            assert (body["success"], body["executionId"]) == (True, started["executionId"])
        # Nothing but the question to people is under way when it goes on again.
        assert (paused.json()["status"], resumed.json()["status"]) == ("PAUSED", "WAITING_FOR_APPROVAL")
        assert paused.json()["pausedAt"] <= resumed.json()["resumedAt"] <= cancelled.json()["cancelledAt"]
        assert (cancelled.json()["status"], cancelled.json()["cleanupStatus"]) == ("CANCELLED", "COMPLETED")
        body = restarted.json()
        assert (body["fromBlock"], body["affectedBlocks"]) == (
            "block_transform",
            ["block_transform", "block_load"],
        )
        assert body["preservedContext"] == {"extractedRecords": 10_000, "validatedRecords": 9_850}
        assert [one.json()["message"] for one in (paused, resumed, cancelled, restarted)] == [
            "Execution paused successfully",
            "Execution resumed successfully",
            "Execution cancelled successfully",
            "Execution restarted from block_transform",
        ]


class TestSection42RecoveryPoints:
    """The execution model's recovery points."""

    def test_they_are_listed_with_what_the_run_was_then(self, developer: Caller, house: House) -> None:
        blocks = [
            noop("first", {"records": 3}),
            noop("second", dependencies=["first"], humanInLoop={"required": True}),
        ]
        execution = run_until_quiet(start(make_template(blocks, workspace=house.workspace)))
        (point,) = developer.get(f"executions/{execution.public_id}/recovery-points").json()["recoveryPoints"]
        assert fields(point) >= {"timestamp", "state", "completedBlocks"}
        (entry,) = developer.get(f"executions/{execution.public_id}").json()["recoveryPoints"]
        assert entry.items() <= point.items()
        assert (point["state"], point["completedBlocks"]) == ({"globalContext": {"records": 3}}, ["first"])


class TestSection74Branching:
    """Conditional branching: what is not chosen is skipped, and the run completes."""

    def test_the_branch_that_holds_is_taken(self, developer: Caller, house: House) -> None:
        blocks = [
            noop(
                "decide",
                {"amount": 120},
                conditions={"branches": [branch("amount > 100", "large"), branch(None, "small")]},
            ),
            noop("large"),
            noop("small"),
        ]
        execution = run_until_quiet(start(make_template(blocks, workspace=house.workspace)))
        body = developer.get(f"executions/{execution.public_id}").json()
        assert (body["status"], body["completedBlocks"], body["skippedBlocks"]) == (
            "COMPLETED",
            ["decide", "large"],
            ["small"],
        )


class TestSection112Roles:
    """Role-based access control: the developer's grants, and the admin's."""

    def test_developers_update_their_own_templates_only(self, house: House) -> None:
        own = house.caller().post("templates", TEMPLATE).json()["templateId"]
        others = house.caller(Role.ADMIN).post("templates", TEMPLATE).json()["templateId"]
        changed = TEMPLATE | {"description": "changed"}
        assert house.caller().put(f"templates/{own}", changed).status_code == 200
        assert house.caller().put(f"templates/{others}", changed).status_code == 403
        assert house.caller(Role.ADMIN).put(f"templates/{own}", changed).status_code == 200


class TestSection162Configuration:
    """The configuration's names and defaults."""

    @pytest.mark.parametrize(
        ("name", "default"),
        [
            ("SERVER_PORT", "8080"),
            ("DATABASE_MAX_POOL_SIZE", "10"),
            ("DATABASE_CONNECT_TIMEOUT_MS", "5000"),
            ("CACHE_TTL_S", "3600"),
            ("LLM_SERVICE_TIMEOUT_MS", "30000"),
            ("AGENT_SERVICE_TIMEOUT_MS", "60000"),
            ("STATE_SERVICE_TIMEOUT_MS", "10000"),
            ("WORKFLOW_MAX_PARALLEL_BLOCKS", "10"),
            ("WORKFLOW_DEFAULT_TIMEOUT_MS", "300000"),
            ("WORKFLOW_RETRY_ATTEMPTS", "3"),
            ("WORKFLOW_RECOVERY_POINT_INTERVAL_MS", "60000"),
            ("HUMAN_IN_LOOP_APPROVAL_TIMEOUT_MS", "86400000"),
            ("HUMAN_IN_LOOP_NOTIFICATION_CHANNELS", "email,webhook,websocket"),
        ],
    )
    def test_defaults_are_the_documented_ones(self, name: str, default: str) -> None:
        assert {entry.name: entry.default for entry in describe_settings()}[name] == default

    def test_cached_values_live_as_long_as_documented(self) -> None:
        assert settings.CACHES["default"]["TIMEOUT"] == 3_600


class TestSection161Errors:
    """Error classification: the retry defaults, and a type and a strategy for every error."""

    def test_retries_have_the_documented_defaults(self) -> None:
        policy = RetryPolicy()
        assert (policy.max_retries, policy.base_delay, policy.max_delay) == (3, 1_000, 30_000)
        assert (policy.backoff_multiplier, policy.jitter) == (2, True)

    @pytest.mark.parametrize(
        "name",
        [
            "VALIDATION_ERROR", "AUTHORIZATION_ERROR", "RESOURCE_NOT_FOUND", "AGENT_UNAVAILABLE",
            "CONFIGURATION_ERROR", "SYSTEM_ERROR",
        ],
    )  # fmt: skip
    def test_every_documented_error_type_has_a_class(self, name: str) -> None:
        assert classify(ErrorType(name)) is not ErrorClass.FINAL

    @pytest.mark.parametrize(
        "name",
        ["RETRY_SAME_AGENT", "REASSIGN_AGENT", "HUMAN_INTERVENTION", "SKIP_BLOCK", "ABORT_WORKFLOW"],
    )
    def test_a_block_may_name_every_documented_strategy(
        self, developer: Caller, house: House, name: str
    ) -> None:
        make_agent(house.workspace, "spare")
        block = noop("one", recovery={"strategies": [name], "agents": ["spare"]})
        answer = developer.post("templates/validate", {"name": "T", "blocks": [block]})
        assert answer.json()["valid"], answer.json()


class TestSection172Diagnostics:
    """Diagnostic commands."""

    @pytest.mark.parametrize("path", ["/health", "/health/database", "/health/dependencies", "/metrics"])
    def test_they_answer_without_credentials_on_the_machine_itself(self, db: None, path: str) -> None:
        assert Caller().get(path).status_code == 200

    def test_a_run_is_debugged_with_the_documented_addresses(self, developer: Caller, house: House) -> None:
        execution = run_until_quiet(start(make_template([noop("a")], workspace=house.workspace)))
        path = f"executions/{execution.public_id}"
        for address in (path, f"{path}/logs", "approvals/pending"):
            assert developer.get(address).status_code == 200, address
        # Without a body, as the page has it: there is nothing to restart in a run that completed.
        answer = house.caller(Role.OPERATOR).post(f"{path}/restart")
        assert (answer.status_code, answer.json()["code"]) == (409, "NOTHING_TO_RESTART")


class TestSection173Logs:
    """The key log patterns, in the lines of the processes and in the run's log (section 5.2)."""

    def test_they_read_as_documented(
        self, developer: Caller, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "workflow_service.executions")
        blocks = [
            noop("ask", agentId="clerk", humanInLoop={"required": True}),
            noop("bad", {"n": "${nowhere}"}, agentId="crm", retryPolicy={"maxRetries": 0}),
        ]
        waits = run_until_quiet(start(make_template(blocks[:1], workspace=house.workspace)))
        fails = run_until_quiet(start(make_template(blocks[1:], workspace=house.workspace)))
        completes = run_until_quiet(start(make_template([noop("a")], workspace=house.workspace)))
        operator = house.caller(Role.OPERATOR)
        make_agent(house.workspace, "auditor")
        operator.post(f"executions/{waits.public_id}/blocks/ask/reassign", {"agentId": "auditor"})

        def lines(execution: Execution) -> str:
            logs = developer.get(f"executions/{execution.public_id}/logs").json()["logs"]
            return "\n".join(f"[{line['level']}] {line['message']}" for line in logs)

        plain = PlainFormatter()
        told = "\n".join(plain.format(record) for record in caplog.records)
        completed = rf"\[INFO\] Workflow {completes.public_id} completed successfully in \d+ms$"
        failed = r"\[ERROR\] Block bad failed: .+ \(Agent: crm\)$"
        asked = f"Human approval required for block ask (Execution: {waits.public_id})"
        point = f"[INFO] Recovery point created for execution {waits.public_id} at block ask"
        reassigned = "[INFO] Block ask reassigned from clerk to auditor"
        for pattern in (completed, failed, *map(re.escape, (f"[WARN] {asked}", point, reassigned))):
            assert re.search(rf" {pattern}$", told, re.M), pattern
        assert re.search(rf"^{completed}", lines(completes), re.M)
        assert re.search(rf"^{failed}", lines(fails), re.M)
        assert {f"[WARNING] {asked}", point, reassigned} <= set(lines(waits).splitlines())

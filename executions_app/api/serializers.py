"""The shapes of executions: document A section 5.2, and document B section 7.1 for ``?view=b``."""

from typing import Any

from rest_framework import serializers

from executions_app.api.restart_serializers import RecoveryPointEntry
from executions_app.models import BlockExecution
from executions_app.run_notices import CHANNELS
from templates_app.api.serializers import Issue
from workflow_service.api_serializers import (
    CamelSerializer,
    JsonField,
    JsonObjectField,
    PageQuery,
    QuerySerializer,
)
from workflow_service.engine.definition import MAX_RUN_TIMEOUT_MS
from workflow_service.engine.states import BlockStatus, ExecutionStatus, Priority

MAX_WAIT_S = 30
STATUSES_OF_B = ["pending", "running", "paused", "recovering", "completed", "failed", "cancelled"]


def _values(enum: type[Any]) -> list[str]:
    return [member.value for member in enum]


class Notifications(CamelSerializer):
    """What a start asks to be told about the run's end: its starter, and webhooks that want the topic."""

    on_complete = serializers.BooleanField(required=False)
    on_error = serializers.BooleanField(required=False)
    channels = serializers.ListField(
        child=serializers.ChoiceField(choices=CHANNELS),
        required=False,
        max_length=10,
        help_text="How; websocket is another word for in_app. Not given: in every way.",
    )


class StartOptions(CamelSerializer):
    priority = serializers.ChoiceField(
        choices=_values(Priority), required=False, help_text="Not given: normal."
    )
    timeout = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_RUN_TIMEOUT_MS,
        help_text="Milliseconds of active time that the run may take. Not given: what the template says.",
    )
    notifications = Notifications(required=False)
    enable_auto_recovery = serializers.BooleanField(
        required=False,
        help_text="true: ask a person about every block that fails for good; false: retries and no more.",
    )
    enable_ai_decisions = serializers.BooleanField(
        required=False,
        help_text="false: no language model answers the questions of branches; their fallbacks do.",
    )


class StartBody(CamelSerializer):
    template_id = serializers.CharField(max_length=64)
    workspace_id = serializers.CharField(max_length=64, required=False)
    version = serializers.CharField(
        max_length=32, required=False, help_text="Not given: the current version."
    )
    input = JsonField(
        required=False,
        schema={"type": "object", "additionalProperties": True},
        help_text="What the run works on; checked against the template's inputSchema.",
    )
    options = StartOptions(required=False)


class StartQuery(QuerySerializer):
    wait = serializers.FloatField(
        default=0,
        min_value=0,
        max_value=MAX_WAIT_S,
        help_text="Seconds to wait for the run to end, or to stop for a person, before answering.",
    )


class StartedShape(CamelSerializer):
    execution_id = serializers.CharField()
    status = serializers.ChoiceField(choices=_values(ExecutionStatus))
    template_id = serializers.CharField()
    template_version = serializers.CharField()
    workspace_id = serializers.CharField()
    started_at = serializers.DateTimeField()
    completed_at = serializers.DateTimeField(allow_null=True)
    estimated_duration = serializers.IntegerField(allow_null=True, help_text="Seconds, as the template says.")
    current_blocks = serializers.ListField(child=serializers.CharField())
    next_blocks = serializers.ListField(child=serializers.CharField())
    warnings = Issue(many=True, help_text="Such as TEMPLATE_DEPRECATED, with what to start instead.")


class ProgressShape(CamelSerializer):
    total_blocks = serializers.IntegerField()
    completed_blocks = serializers.IntegerField()
    current_blocks = serializers.IntegerField()
    failed_blocks = serializers.IntegerField()
    percentage = serializers.IntegerField(help_text="0 to 100; skipped blocks count as done.")


class ExecutionEntry(CamelSerializer):
    execution_id = serializers.CharField()
    template_id = serializers.CharField()
    template_name = serializers.CharField()
    template_version = serializers.CharField()
    workspace_id = serializers.CharField()
    status = serializers.ChoiceField(choices=_values(ExecutionStatus))
    priority = serializers.ChoiceField(choices=_values(Priority))
    started_at = serializers.DateTimeField()
    completed_at = serializers.DateTimeField(allow_null=True)
    created_by = serializers.CharField()
    progress = ProgressShape()


class ExecutionList(CamelSerializer):
    executions = ExecutionEntry(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class ExecutionListQuery(PageQuery):
    status = serializers.ChoiceField(choices=_values(ExecutionStatus), required=False)
    template_id = serializers.CharField(max_length=64, required=False)


class HumanInteractionShape(CamelSerializer):
    type = serializers.CharField()
    requested_at = serializers.DateTimeField()
    responded_at = serializers.DateTimeField(allow_null=True)
    response = JsonObjectField(allow_null=True)
    approver = serializers.CharField(allow_null=True)


class BlockProgress(CamelSerializer):
    """What the work of a block last said of itself."""

    percent = serializers.FloatField(help_text="0 to 100.")
    message = serializers.CharField()
    at = serializers.DateTimeField()


class BlockExecutionShape(CamelSerializer):
    block_id = serializers.CharField()
    execution_id = serializers.CharField(help_text="Of this block execution.")
    agent_id = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=_values(BlockStatus))
    round = serializers.IntegerField(
        allow_null=True, help_text="Of the loop that the block is in, from 0; null outside of loops."
    )
    item_index = serializers.IntegerField(
        allow_null=True, help_text="Of the item that it worked on, from 0; null where it is no item of a map."
    )
    waits_for = serializers.ChoiceField(
        choices=_values(BlockExecution.WaitsFor), allow_null=True, help_text="Where the status is WAITING."
    )
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    duration = serializers.IntegerField(allow_null=True, help_text="Milliseconds.")
    input = JsonField(allow_null=True)
    output = JsonField(allow_null=True)
    error = JsonObjectField(allow_null=True)
    retry_count = serializers.IntegerField()
    progress = BlockProgress(allow_null=True)
    child_execution_id = serializers.CharField(
        allow_null=True, help_text="The run that this block started and waits for, if it is a sub-workflow."
    )
    human_interactions = HumanInteractionShape(many=True)


class BlockRunShape(BlockExecutionShape):
    """One time a block ran or is to run: in a round, on an item, in a generation."""

    item = JsonField(allow_null=True, help_text="The item's value.")
    generation = serializers.IntegerField(help_text="1, and one more with each restart.")
    superseded = serializers.BooleanField(help_text="A restart has put it aside.")


class BlockRunList(CamelSerializer):
    block_executions = BlockRunShape(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class BlockRunQuery(PageQuery):
    block_id = serializers.CharField(max_length=100, required=False)
    status = serializers.ChoiceField(choices=_values(BlockStatus), required=False)
    superseded = serializers.BooleanField(
        default=False, help_text="Whether to list what a restart has put aside too."
    )


class ResourceUsage(CamelSerializer):
    cpu = serializers.CharField(allow_null=True, help_text="Not measured: null.")
    memory = serializers.CharField(allow_null=True, help_text="Not measured: null.")


class ExecutionMetrics(CamelSerializer):
    execution_time = serializers.IntegerField(help_text="Milliseconds since the start, or until the end.")
    resource_usage = ResourceUsage()


class ExecutionShape(ExecutionEntry):
    """A whole execution, as document A shows it."""

    current_blocks = serializers.ListField(child=serializers.CharField())
    next_blocks = serializers.ListField(child=serializers.CharField())
    blocked_blocks = serializers.ListField(
        child=serializers.CharField(), help_text="Waiting: for a person, a time, …"
    )
    completed_blocks = serializers.ListField(child=serializers.CharField())
    failed_blocks = serializers.ListField(child=serializers.CharField())
    skipped_blocks = serializers.ListField(child=serializers.CharField())
    block_executions = BlockExecutionShape(many=True)
    input = JsonObjectField()
    options = JsonObjectField()
    global_context = JsonObjectField()
    error = JsonObjectField(allow_null=True)
    parent_execution_id = serializers.CharField(
        allow_null=True, help_text="The run of which this one is a sub-workflow."
    )
    recovery_points = RecoveryPointEntry(
        many=True,
        help_text="The newest 20; `GET /executions/{id}/recovery-points` has all, with what the run was then.",
    )
    metrics = ExecutionMetrics()
    event_seq = serializers.IntegerField(help_text="Number of the newest event.")
    failure_risk = serializers.FloatField(
        allow_null=True, help_text="0 to 1, while it runs, where past runs allow such predictions."
    )
    anomaly_detected = serializers.BooleanField(help_text="Something about the run was unusual.")


class WorkflowExecutionShape(serializers.Serializer[Any]):
    """A whole execution, as document B shows it."""

    execution_id = serializers.CharField()
    workflow_id = serializers.IntegerField()
    workflow_name = serializers.CharField()
    status = serializers.ChoiceField(choices=STATUSES_OF_B)
    current_state = serializers.CharField()
    states_visited = serializers.ListField(child=serializers.CharField())
    initial_context = JsonObjectField()
    final_context = JsonObjectField(allow_null=True)
    start_time = serializers.DateTimeField()
    end_time = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.IntegerField(allow_null=True)
    error_count = serializers.IntegerField()
    retry_count = serializers.IntegerField()
    ai_decisions = serializers.ListField(child=JsonObjectField())
    recovery_actions = serializers.ListField(child=JsonObjectField())
    error = JsonObjectField(allow_null=True)
    anomaly_detected = serializers.BooleanField()
    failure_risk = serializers.FloatField(allow_null=True)


class ExecutionQuery(QuerySerializer):
    view = serializers.ChoiceField(
        choices=["a", "b"],
        required=False,
        help_text="Document A's shape or document B's; not given: that of the door the run was started by.",
    )

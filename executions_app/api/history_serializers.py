"""The shapes of what is written down about executions: events, log lines, and document B's history."""

import re
from typing import Any

from rest_framework import serializers

from executions_app.api.serializers import MAX_WAIT_S
from executions_app.history import TransitionType
from executions_app.models import ExecutionLog
from workflow_service.api_serializers import CamelSerializer, JsonObjectField, PageQuery, QuerySerializer

LEVEL_NAMES = ("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL")
MAX_TYPES = 20
MAX_HISTORY = 5_000
_EVENT_TYPE = re.compile(r"[a-z][a-z_]{0,39}", re.ASCII)


class LogQuery(PageQuery):
    limit = serializers.IntegerField(default=50, min_value=1, max_value=500)
    level = serializers.CharField(
        required=False, max_length=10, help_text=f"Least level: {', '.join(LEVEL_NAMES)}."
    )
    block_id = serializers.CharField(required=False, max_length=100)
    search = serializers.CharField(
        required=False, max_length=200, help_text="Part of the message, whatever the case."
    )
    order = serializers.ChoiceField(
        choices=["asc", "desc"], default="asc", help_text="Oldest line first, or newest first."
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # "from" is no name for an attribute.
        times = {
            "from": serializers.DateTimeField(
                required=False, source="since", help_text="Lines of this time and later; ISO 8601."
            ),
            "to": serializers.DateTimeField(
                required=False, source="until", help_text="Lines before this time; ISO 8601."
            ),
        }
        return super().get_fields() | times

    def validate_level(self, value: str) -> int:
        """Turn a level's name into its number; WARN and WARNING are one."""
        name = value.upper()
        if name not in LEVEL_NAMES:
            raise serializers.ValidationError(f"'{value}' is no level; use one of {', '.join(LEVEL_NAMES)}")
        return int(ExecutionLog.Level["WARNING" if name == "WARN" else name])

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a time that ends before it begins."""
        if "since" in attrs and "until" in attrs and attrs["since"] > attrs["until"]:
            raise serializers.ValidationError({"to": "is before 'from'; give the later time as 'to'"})
        return attrs


class LogEntry(CamelSerializer):
    id = serializers.CharField()
    timestamp = serializers.DateTimeField()
    level = serializers.ChoiceField(choices=[level.name for level in ExecutionLog.Level])
    message = serializers.CharField()
    block_id = serializers.CharField(allow_null=True)
    agent_id = serializers.CharField(allow_null=True)
    execution_id = serializers.CharField()
    context = JsonObjectField()  # type: ignore[assignment]
    stack_trace = serializers.CharField(allow_null=True)


class LogList(CamelSerializer):
    logs = LogEntry(many=True)
    total = serializers.IntegerField(help_text="Lines that fit, on all pages.")
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()
    has_more = serializers.BooleanField()


class EventQuery(QuerySerializer):
    after = serializers.IntegerField(
        default=0, min_value=0, max_value=2**62, help_text="Number of the last event you have."
    )
    limit = serializers.IntegerField(default=200, min_value=1, max_value=1_000)
    types = serializers.CharField(
        required=False, max_length=1_000, help_text="Only events of these types, with commas between them."
    )
    wait = serializers.FloatField(
        default=0,
        min_value=0,
        max_value=MAX_WAIT_S,
        help_text="Seconds to wait for an event where there is none yet; not once the run has ended.",
    )

    def validate_types(self, value: str) -> list[str]:
        """Split the list of types."""
        types = [name.strip() for name in value.split(",")]
        for name in types:
            if not _EVENT_TYPE.fullmatch(name):
                raise serializers.ValidationError(
                    f"'{name[:50]}' is no type of event; write them like block_completed,block_failed"
                )
        if len(types) > MAX_TYPES:
            raise serializers.ValidationError(f"give at most {MAX_TYPES} types")
        return types


class EventShape(CamelSerializer):
    type = serializers.CharField()
    seq = serializers.IntegerField()
    execution_id = serializers.CharField()
    timestamp = serializers.CharField()
    block_id = serializers.CharField(allow_null=True)
    block_execution_id = serializers.CharField(allow_null=True)
    data = JsonObjectField()  # type: ignore[assignment]


class EventList(CamelSerializer):
    events = EventShape(many=True)
    last_seq = serializers.IntegerField(help_text="Number of the newest event of the run.")
    next = serializers.IntegerField(help_text="What to give as `after` to go on from here.")


class HistoryQuery(QuerySerializer):
    limit = serializers.IntegerField(
        default=1_000, min_value=1, max_value=MAX_HISTORY, help_text="Entries of each list."
    )
    offset = serializers.IntegerField(
        default=0, min_value=0, max_value=10_000_000, help_text="Entries of each list before these."
    )


class TransitionShape(serializers.Serializer[Any]):
    """One way that a run took, as document B shows it."""

    id = serializers.IntegerField()
    from_state = serializers.CharField()
    to_state = serializers.CharField()
    transition_type = serializers.ChoiceField(choices=[kind.value for kind in TransitionType])
    condition_evaluated = serializers.CharField(allow_null=True)
    condition_result = serializers.BooleanField(allow_null=True)
    ai_decision_used = serializers.BooleanField()
    ai_decision_reasoning = serializers.CharField(allow_null=True)
    ai_confidence_score = serializers.IntegerField(allow_null=True, help_text="0 to 100.")
    timestamp = serializers.DateTimeField()
    duration_ms = serializers.IntegerField(allow_null=True, help_text="Time spent in from_state.")


class AuditEntry(serializers.Serializer[Any]):
    """One event, as document B's audit log has it."""

    id = serializers.IntegerField()
    timestamp = serializers.DateTimeField()
    level = serializers.ChoiceField(choices=[level.name.lower() for level in ExecutionLog.Level])
    state = serializers.CharField(allow_null=True)
    event_type = serializers.CharField()
    message = serializers.CharField()
    metadata = JsonObjectField()
    stack_trace = serializers.CharField(allow_null=True)


class HistoryShape(serializers.Serializer[Any]):
    """The history of an execution, as document B shows it."""

    execution_id = serializers.CharField()
    transitions = TransitionShape(many=True)
    total_transitions = serializers.IntegerField()
    audit_logs = AuditEntry(many=True)
    total_audit_logs = serializers.IntegerField()

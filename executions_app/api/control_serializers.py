"""The shapes of commands on executions: document A section 5.2, with document B's keys of a cancel."""

from typing import Any

from rest_framework import serializers

from executions_app.services.control import Standing
from workflow_service.api_serializers import CamelSerializer
from workflow_service.engine.states import ExecutionStatus

STATUSES = [status.value for status in ExecutionStatus]


class CommandBody(CamelSerializer):
    reason = serializers.CharField(
        required=False, max_length=1_000, allow_blank=True, help_text="Kept in the run's history."
    )


class CommandAnswer(CamelSerializer):
    success = serializers.BooleanField()
    execution_id = serializers.CharField()
    status = serializers.ChoiceField(choices=STATUSES)
    message = serializers.CharField()


class PauseAnswer(CommandAnswer):
    paused_at = serializers.DateTimeField(allow_null=True)
    running_blocks = serializers.ListField(
        child=serializers.CharField(), help_text="Still at work; their results will be recorded."
    )


class ResumeAnswer(CommandAnswer):
    resumed_at = serializers.DateTimeField(allow_null=True, help_text="Null where the run was never paused.")


class CancelAnswer(CommandAnswer):
    cancelled_at = serializers.DateTimeField(allow_null=True)
    cleanup_status = serializers.ChoiceField(
        choices=["IN_PROGRESS", "COMPLETED"], help_text="COMPLETED once no worker is at work on it any more."
    )
    stopping_blocks = serializers.ListField(
        child=serializers.CharField(), help_text="Told to stop, and not yet stopped."
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add the keys of document B, in its spelling."""
        return super().get_fields() | {
            "execution_id": serializers.CharField(),
            "final_state": serializers.CharField(help_text="The block that was begun last."),
        }


def pause_answer(standing: Standing) -> dict[str, Any]:
    """Return the answer to a pause."""
    message = "Execution paused successfully" if standing.changed else "Execution is paused already"
    shape = _common(standing, message) | {
        "paused_at": standing.at,
        "running_blocks": list(standing.at_work),
    }
    return dict(PauseAnswer(shape).data)


def resume_answer(standing: Standing) -> dict[str, Any]:
    """Return the answer to a resume."""
    message = "Execution resumed successfully" if standing.changed else "Execution is not paused"
    return dict(ResumeAnswer(_common(standing, message) | {"resumed_at": standing.at}).data)


def cancel_answer(standing: Standing) -> dict[str, Any]:
    """Return the answer to a cancel, with the keys of both documents."""
    message = "Execution cancelled successfully" if standing.changed else "Execution is cancelled already"
    shape = _common(standing, message) | {
        "cancelled_at": standing.at,
        "cleanup_status": "IN_PROGRESS" if standing.at_work else "COMPLETED",
        "stopping_blocks": list(standing.at_work),
        "final_state": standing.last_state,
    }
    return dict(CancelAnswer(shape).data)


def _common(standing: Standing, message: str) -> dict[str, Any]:
    return {
        "success": True,
        "execution_id": standing.execution_id,
        "status": standing.status,
        "message": message,
    }

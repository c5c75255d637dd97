"""The shapes of restarts, recovery points and commands on single blocks (document A sections 4.2 and 5.2)."""

from typing import Any

from rest_framework import serializers

from executions_app.api.control_serializers import STATUSES, CommandAnswer, CommandBody
from executions_app.models import RecoveryPoint
from executions_app.services.blocks import DONE_AS, BlockChanged
from executions_app.services.restart import Restart, Restarted
from workflow_service.api_serializers import CamelSerializer, JsonObjectField, RequestInvalid
from workflow_service.engine.errors import Problem


class RestartOptions(CamelSerializer):
    skip_failed_blocks = serializers.BooleanField(
        default=False, help_text="Failed blocks count as completed, with their defaultOutput."
    )
    reassign_agents = serializers.BooleanField(
        default=False, help_text="Failed blocks go to the next agent that may take over, where there is one."
    )
    preserve_context = serializers.BooleanField(
        required=False,
        help_text="Keep what the blocks that run again had put into the context. Not given: unless resetState.",
    )


class RestartBody(CommandBody):
    from_block = serializers.CharField(
        required=False, allow_null=True, max_length=100, help_text="Not given: from whatever failed."
    )
    recovery_point_id = serializers.CharField(
        required=False, max_length=64, help_text="Take back whatever was settled after this recovery point."
    )
    reset_state = serializers.BooleanField(
        default=False, help_text="Drop the outputs of the blocks that run again."
    )
    options = RestartOptions(required=False)


class RestartAnswer(CommandAnswer):
    restarted_at = serializers.DateTimeField()
    from_block = serializers.CharField(allow_null=True)
    affected_blocks = serializers.ListField(
        child=serializers.CharField(), help_text="What runs again where the run leads to it again."
    )
    preserved_context = JsonObjectField()
    generation = serializers.IntegerField(help_text="1 + the number of restarts.")


class RecoveryPointEntry(CamelSerializer):
    recovery_point_id = serializers.CharField()
    timestamp = serializers.DateTimeField()
    seq = serializers.IntegerField(help_text="Number of its event.")
    block_id = serializers.CharField(
        allow_null=True, help_text="The block it lies behind, or that asks people."
    )
    reason = serializers.ChoiceField(choices=RecoveryPoint.Reason.values)


class RecoveryPointShape(RecoveryPointEntry):
    state = JsonObjectField(help_text="`globalContext`: the context as it was.")
    completed_blocks = serializers.ListField(child=serializers.CharField())


class RecoveryPointList(CamelSerializer):
    execution_id = serializers.CharField()
    recovery_points = RecoveryPointShape(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class ReassignBody(CommandBody):
    agent_id = serializers.CharField(max_length=100)


class SkipBody(CommandBody):
    output = JsonObjectField(required=False, help_text="Not given: the block's defaultOutput.")


class BlockCommandAnswer(CamelSerializer):
    success = serializers.BooleanField()
    execution_id = serializers.CharField()
    block_id = serializers.CharField()
    status = serializers.ChoiceField(choices=STATUSES, help_text="Of the execution.")
    message = serializers.CharField()
    affected_blocks = serializers.ListField(
        child=serializers.CharField(), help_text="What runs again, where the block had failed for good."
    )


def read_restart(body: dict[str, Any], *, after_seq: int | None, force: bool) -> Restart:
    """Return what a checked body asks for; raises ``RequestInvalid`` where its parts contradict each other."""
    options = body.get("options", {})
    reset_state = body["reset_state"]
    preserve = options.get("preserve_context", not reset_state)
    if reset_state and preserve:
        raise _contradiction(
            "resetState and preserveContext cannot both be true: a context that holds dropped outputs is of no state",
            "/options/preserveContext",
        )
    if body.get("from_block") is not None and after_seq is not None:
        raise _contradiction("give fromBlock or recoveryPointId, not both", "/recoveryPointId")
    return Restart(
        from_block=body.get("from_block"),
        after_seq=after_seq,
        skip_failed=options.get("skip_failed_blocks", False),
        reset_state=reset_state,
        preserve_context=preserve,
        force=force,
        reassign=options.get("reassign_agents", False),
    )


def restart_answer(restarted: Restarted) -> dict[str, Any]:
    """Return document A's answer to a restart."""
    where = f" from {restarted.from_block}" if restarted.from_block else ""
    shape = {
        "success": True,
        "execution_id": restarted.execution_id,
        "status": restarted.status,
        "restarted_at": restarted.at,
        "from_block": restarted.from_block,
        "message": f"Execution restarted{where}",
        "affected_blocks": list(restarted.affected),
        "preserved_context": dict(restarted.context),
        "generation": restarted.generation,
    }
    return dict(RestartAnswer(shape).data)


def block_answer(changed: BlockChanged) -> dict[str, Any]:
    """Return the answer to a command on one block."""
    shape = {
        "success": True,
        "execution_id": changed.execution_id,
        "block_id": changed.block_id,
        "status": changed.execution_status,
        "message": f"Block {changed.block_id} {DONE_AS[changed.action]}",
        "affected_blocks": list(changed.affected),
    }
    return dict(BlockCommandAnswer(shape).data)


def _contradiction(message: str, pointer: str) -> RequestInvalid:
    return RequestInvalid(message, [Problem("CONTRADICTION", message, pointer)])

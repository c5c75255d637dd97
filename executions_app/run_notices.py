"""Who is told that a run ended: the one who started it, where the start asked for it (``options.notifications``).

The end of a run keeps one message in its own transaction, so that none is lost, whatever dies then; whom it concerns
is found out beside the sweeper. A sub-workflow's run tells nobody: it is a part of another.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.urls import reverse

from executions_app.models import Execution
from executions_app.transaction import EngineTransaction
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import ExecutionStatus
from workflow_service.notifications.models import Topic
from workflow_service.notifications.service import Notice, Receiver, Way, notify, one_line

CHANNEL = "run-notices"
CHANNELS = (Way.EMAIL.value, Way.WEBHOOK.value, Way.IN_APP.value, "websocket")
TOPICS: Mapping[str, Topic] = {
    ExecutionStatus.COMPLETED: Topic.EXECUTION_COMPLETED,
    ExecutionStatus.FAILED: Topic.EXECUTION_FAILED,
}
_WANTED: Mapping[Topic, str] = {Topic.EXECUTION_COMPLETED: "onComplete", Topic.EXECUTION_FAILED: "onError"}

# Only for a run that asked for it; the id of the message makes the key of its notices.
KEEP = """
    INSERT INTO outbox_message (channel, subject, message_id, body)
    SELECT %s::text, %s::text, gen_random_uuid(), jsonb_build_object(
        'execution', i.execution_id, 'status', %s::text, 'generation', %s::int,
        'channels', i.options -> 'notifications' -> 'channels')
    FROM executions_app_executioninput i
    WHERE i.execution_id = %s AND i.options -> 'notifications' -> %s::text = 'true'::jsonb
"""


def tell_of_end(
    tx: EngineTransaction, *, run_id: int, public_id: str, status: ExecutionStatus, generation: int
) -> None:
    """Keep the message that a run ended, in the transaction that ends it, if its start asked for one."""
    topic = TOPICS.get(status)
    if topic is not None:
        tx.run(KEEP, (CHANNEL, public_id, status.value, generation, run_id, _WANTED[topic]))


def announce(body: dict[str, Any]) -> None:
    """Tell the starter, and the webhooks, what a message of ``tell_of_end`` says; repeated, it changes nothing."""
    runs = Execution.objects.select_related("template", "version", "workspace", "created_by")
    with transaction.atomic():
        run = runs.filter(pk=body["execution"]).first()
        if run is None:
            return
        status = str(body["status"])
        topic = TOPICS[status]
        notice = Notice(
            topic=topic,
            title=one_line(f"{run.template.name} {'completed' if status == 'COMPLETED' else 'failed'}"),
            text=_text(run, status),
            path=reverse("admin:executions_app_execution_change", args=[run.public_id]),
            data=_data(run, status, body["generation"]),
            key=f"{run.public_id}:{topic.value}:{body['generation']}",
        )
        asked = body["channels"]
        channels = None
        if isinstance(asked, list) and asked:
            channels = [Way.IN_APP.value if one == "websocket" else str(one) for one in asked]
        notify(run.workspace_id, notice, [Receiver(run.created_by_id)], channels=channels)


def _text(run: Execution, status: str) -> str:
    """Return the facts of an end: nothing that the run worked with, and of its error only what kind it was."""
    facts = [
        ("Execution", run.public_id),
        ("Workflow", f"{one_line(run.template.name)} {run.version.label}"),
        ("Started", f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC"),
    ]
    if run.completed_at is not None:
        took = run.completed_at - run.started_at
        facts += [
            ("Ended", f"{run.completed_at:%Y-%m-%d %H:%M:%S} UTC"),
            ("Took", f"{took.total_seconds():.1f} s"),
        ]
    error = _error(run) if status == ExecutionStatus.FAILED else {}
    facts += [("Error", str(error.get("type") or "")), ("Block", str(error.get("blockId") or ""))]
    return "\n".join(f"{name}: {value}" for name, value in facts if value)


def _data(run: Execution, status: str, generation: object) -> JsonObject:
    error = _error(run) if status == ExecutionStatus.FAILED else {}
    return {
        "executionId": run.public_id,
        "templateId": run.template.public_id,
        "templateVersion": run.version.label,
        "workspaceId": run.workspace.public_id,
        "status": status,
        "startedAt": run.started_at.isoformat(),
        "completedAt": run.completed_at.isoformat() if run.completed_at else None,
        "startedBy": run.created_by.get_username(),
        "generation": int(str(generation)),
        "error": {key: error[key] for key in ("type", "blockId") if key in error} or None,
    }


def _error(run: Execution) -> JsonObject:
    return run.error if isinstance(run.error, dict) else {}

"""What was found, written down and told: rows, the mark on the run, an event of the run, and a notice.

A kind of finding in a run and block is recorded once, however often it is found; what is recorded for the first time
is told. Of one template people are told once an hour at most: where everything is slow, a notice for each run helps
nobody. All is written in the caller's transaction, under the lock of each run.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.urls import reverse
from django.utils import timezone
from pydantic import JsonValue

from executions_app.late_events import LateEvent, append_events
from executions_app.models import Execution
from workflow_service.anomalies.detection import UNITS, Finding, Kind
from workflow_service.anomalies.wording import explain
from workflow_service.notifications.models import Topic
from workflow_service.notifications.service import Notice, Receiver, notify, one_line

EVENT = "anomaly_detected"
KEEP = """
    INSERT INTO anomalies_anomaly AS a (workspace_id, template_id, version_id, execution_id, kind, block_id, value, low,
        high, score, runs, explanation, while_running)
    SELECT e.workspace_id, e.template_id, e.version_id, e.id, f.kind, f.block_id, f.value, f.low, f.high, f.score,
        f.runs, f.explanation, f.while_running
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::float8[], %s::float8[], %s::float8[], %s::float8[], %s::int[],
        %s::text[], %s::boolean[])
        AS f(execution_id, kind, block_id, value, low, high, score, runs, explanation, while_running)
    JOIN executions_app_execution e ON e.id = f.execution_id
    -- A block found slow while it ran is found so again when it has ended: then it is known how slow.
    ON CONFLICT (execution_id, kind, block_id) DO UPDATE SET value = EXCLUDED.value, low = EXCLUDED.low,
        high = EXCLUDED.high, score = EXCLUDED.score, runs = EXCLUDED.runs, explanation = EXCLUDED.explanation
    RETURNING a.execution_id, a.kind, a.block_id, a.xmax = 0
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in one run. ``tell``: it is news."""

    execution_id: int
    findings: Sequence[Finding]
    tell: bool = True
    while_running: bool = False


def record(found: Sequence[Found]) -> int:
    """Write down what was found, and tell what is new; the runs are locked. Returns how many rows are new."""
    found = [one for one in found if one.findings]
    if not found:
        return 0
    new = _keep(found)
    Execution.objects.filter(pk__in=[one.execution_id for one in found]).update(anomaly_detected=True)
    told = {
        one.execution_id: fresh
        for one in found
        if one.tell
        and (fresh := [each for each in one.findings if (one.execution_id, each.kind, each.block_id) in new])
    }
    if told:
        now = timezone.now()
        running = {one.execution_id for one in found if one.while_running}
        data = {pk: _data(findings, while_running=pk in running) for pk, findings in told.items()}
        append_events([LateEvent(pk, EVENT, each, now) for pk, each in data.items()])
        _notify(told, data, now)
    return len(new)


def _keep(found: Sequence[Found]) -> set[tuple[int, str, str]]:
    rows = [
        (
            one.execution_id,
            each.kind.value,
            each.block_id,
            each.value,
            each.low,
            each.high,
            each.score,
            each.runs,
            explain(each, while_running=one.while_running),
            one.while_running,
        )
        for one in found
        for each in one.findings
    ]
    with connection.cursor() as cursor:
        cursor.execute(KEEP, [list(column) for column in zip(*rows, strict=True)])
        return {(pk, kind, block_id) for pk, kind, block_id, is_new in cursor.fetchall() if is_new}


def _finding_data(finding: Finding, while_running: bool) -> dict[str, JsonValue]:
    return {
        "kind": finding.kind.value,
        "blockId": finding.block_id or None,
        "value": finding.value,
        "expected": {"low": finding.low, "high": finding.high},
        "unit": UNITS[Kind(finding.kind)],
        "score": finding.score,
        "explanation": explain(finding, while_running=while_running),
    }


def _data(findings: Sequence[Finding], *, while_running: bool) -> dict[str, JsonValue]:
    return {"anomalies": [_finding_data(finding, while_running) for finding in findings]}


def _notify(
    told: Mapping[int, Sequence[Finding]], data: Mapping[int, dict[str, JsonValue]], now: datetime
) -> None:
    """Tell the template's owner and who started the run; of each template by the run in which most was found."""
    runs = Execution.objects.select_related("template", "workspace").filter(pk__in=told)
    by_template: dict[int, list[Execution]] = defaultdict(list)
    for run in runs:
        by_template[run.template_id].append(run)
    for same in by_template.values():
        run = max(same, key=lambda one: (len(told[one.pk]), -one.pk))
        lines = [explain(finding, while_running=run.completed_at is None) for finding in told[run.pk]]
        others = f"So were {len(same) - 1} other executions." if len(same) > 1 else ""
        notice = Notice(
            topic=Topic.ANOMALY_DETECTED,
            title=one_line(f"An execution of {run.template.name} was unusual"),
            text="\n".join(filter(None, [f"Execution: {run.public_id}", *lines, others])),
            path=reverse("admin:executions_app_execution_change", args=[run.public_id]),
            data={
                "executionId": run.public_id,
                "templateId": run.template.public_id,
                "workspaceId": run.workspace.public_id,
                **data[run.pk],
            },
            key=f"{run.template.public_id}:anomaly:{now:%Y-%m-%dT%H}",
        )
        people = {run.created_by_id, run.template.owner_id}
        notify(run.workspace_id, notice, [Receiver(user_id) for user_id in sorted(people)])

"""Recorded runs of a version, read from its rows as values."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Q, Sum
from django.db.models.functions import Now

from executions_app.models import BlockExecution, Execution, ExecutionEvent, Scope, WorkerLease
from executions_app.run_state import QUEUE_OF_PRIORITY
from templates_app.models import TemplateVersion
from templates_app.plans import compiled_version
from workflow_service.advisor.recordings import RecordedBlock, RecordedRun, Recordings, Tokens, Try
from workflow_service.ai.models import LlmUsage
from workflow_service.engine.graph import END_NODE
from workflow_service.engine.plan import Plan
from workflow_service.engine.states import BlockStatus, ErrorType, ExecutionStatus

# A hundred runs say of a share that it lies within 10 percent points of what is seen, of a mean far less.
MAX_RUNS = 100
# Replays of large workflows look at fewer runs, so that an analysis takes seconds; at 20 at least.
MAX_ROWS = 5_000
LEAST_RUNS = 20
JUDGED = (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED)
# An answer that was kept has tokens as well, and costs nothing.
PAID = Q(cost_usd__gt=0)
# USD, the model that was asked last, and the tokens paid.
_Spent = tuple[float, str, Tokens]

# What is large stays in the database: of inputs and outputs only what tells them apart, and how long lists are.
BLOCK_ROWS = """
    SELECT b.id, b.execution_id, b.scope_id, b.item_index, b.kind, b.block_id, b.status, b.retries, b.waits_for,
        b.started_at, b.finished_at, b.outcomes::text, b.error->>'type',
        md5(b.input::text), md5(o.value::text), coalesce(length(o.value::text), 0),
        CASE WHEN b.kind = 'block' AND jsonb_typeof(b.input) = 'object' THEN
            (SELECT jsonb_object_agg(key, jsonb_array_length(value)) FROM jsonb_each(b.input)
             WHERE jsonb_typeof(value) = 'array')::text END
    FROM executions_app_blockexecution b
    LEFT JOIN executions_app_blockoutput o ON o.block_execution_id = b.id
    WHERE b.execution_id = ANY(%s) AND NOT b.superseded AND b.kind <> 'undo'
    ORDER BY b.execution_id, coalesce(b.started_at, b.created_at), b.id
"""


def read_recordings(
    version: TemplateVersion, since: datetime | None = None, limit: int = MAX_RUNS
) -> Recordings:
    """Return the newest runs of a version that completed or failed, the oldest of them first.

    Runs that were restarted are left out: people had a hand in how they went.
    """
    rows = Execution.objects.filter(version=version, status__in=JUDGED, generation=1)
    rows = rows.filter(started_at__gte=since) if since else rows
    runs = list(reversed(rows.order_by("-id")[:limit]))
    compiled = compiled_version(version.pk)
    per_run = max(1, len(compiled.plan.nodes))
    runs = runs[-max(LEAST_RUNS, MAX_ROWS // per_run) :]
    blocks = _blocks_of(runs, compiled.plan)
    return Recordings(tuple(_run(run, blocks.get(run.pk, ())) for run in runs), _workers_for(runs))


def _workers_for(runs: Sequence[Execution]) -> int:
    """Return how many live processes serve the queue that most of the runs went by; 0 of no runs."""
    priorities = Counter(run.priority for run in runs).most_common(1)
    queues = [QUEUE_OF_PRIORITY[priority] for priority, _ in priorities]
    return WorkerLease.objects.filter(expires_at__gt=Now(), queues__overlap=queues).count() if queues else 0


def _run(run: Execution, rows: Sequence["_Row"]) -> RecordedRun:
    seconds = run.active_ms / 1_000
    blocks = tuple(row.block for row in rows)
    lag_s, message_s = _pauses(run, rows)
    failed = run.status == ExecutionStatus.FAILED
    return RecordedRun(run.pk, run.started_at.timestamp(), seconds, failed, blocks, lag_s, message_s)


class _Row:
    """A block with the moments between which it was at work, in seconds from the start of its run."""

    def __init__(self, block: RecordedBlock, begun_s: float | None, ended_s: float | None) -> None:
        self.block, self.begun_s, self.ended_s = block, begun_s, ended_s


def _pauses(run: Execution, rows: Iterable[_Row]) -> tuple[float, float]:
    """Return the pause between two blocks in which nothing was at work, and what passed before the first block."""
    spans = sorted(
        (row.begun_s, row.ended_s) for row in rows if row.begun_s is not None and row.ended_s is not None
    )
    if not spans or run.completed_at is None:
        return 0.0, 0.0
    first, until = spans[0]
    quiet, pauses = 0.0, 0
    for begun, ended in spans[1:]:
        if begun >= until:
            quiet, pauses = quiet + begun - until, pauses + 1
        until = max(until, ended)
    whole = (run.completed_at - run.started_at).total_seconds()
    # People are no lag: what the run's clock did not count is taken off.
    standing = max(0.0, whole - run.active_ms / 1_000)
    lag_s = max(0.0, quiet - standing) / pauses if pauses else 0.0
    return lag_s, max(0.0, first + whole - until)


def _blocks_of(runs: Sequence[Execution], plan: Plan) -> dict[int, list[_Row]]:
    if not runs:
        return {}
    by_id = {run.pk: run for run in runs}
    with connection.cursor() as cursor:
        cursor.execute(BLOCK_ROWS, [list(by_id)])
        rows = cursor.fetchall()
    retried = [row[0] for row in rows if row[7]]
    tries = _tries_of(list(by_id), retried)
    costs = _costs_of(runs)
    items: dict[tuple[int, int], list[float]] = defaultdict(list)
    maps = _map_scopes(list(by_id))
    for row in rows:
        if row[4] == BlockExecution.Kind.ITEM and row[9] and row[10]:
            items[row[1], maps.get(row[2], 0)].append((row[10] - row[9]).total_seconds())
    found: dict[int, list[_Row]] = defaultdict(list)
    for row in rows:
        if row[4] != BlockExecution.Kind.ITEM and row[6] not in (BlockStatus.PENDING, BlockStatus.CANCELLED):
            found[row[1]].append(
                _row(row, by_id[row[1]], plan, tries.get(row[0]), items.get((row[1], row[0]), ()), costs)
            )
    return found


def _row(
    row: Sequence[Any],
    run: Execution,
    plan: Plan,
    tries: tuple[Try, ...] | None,
    items: Sequence[float],
    costs: Mapping[tuple[str, str], _Spent],
) -> _Row:
    (
        _,
        _,
        _,
        _,
        _,
        block_id,
        status,
        _,
        waits_for,
        started,
        finished,
        outcomes,
        error,
        given,
        made,
        size,
        lists,
    ) = row
    begun = (started - run.started_at).total_seconds() if started else None
    ended = (finished - run.started_at).total_seconds() if finished else None
    took = max(0.0, (ended or 0.0) - (begun or 0.0)) if begun is not None and ended is not None else 0.0
    failed = status in (BlockStatus.FAILED, BlockStatus.REJECTED)
    last = Try(took, (error or ErrorType.SYSTEM_ERROR) if failed else "")
    if waits_for == BlockExecution.WaitsFor.PERSON:
        # The clock of a run stands while it waits for people.
        last = Try(0.0, last.error_type)
    cost, model, tokens = costs.get((run.public_id, block_id), (0.0, "", (0, 0)))
    block = RecordedBlock(
        block_id,
        BlockStatus(status),
        (*(tries or ()), last) if begun is not None else (),
        frozenset(_taken(json.loads(outcomes) if outcomes else {}, plan)),
        waits=bool(waits_for) and not items,
        items=tuple(items),
        cost_usd=cost,
        model=model,
        tokens=tokens,
        given=given or "",
        made=made or "",
        made_characters=size,
        lists=json.loads(lists) if lists else {},
    )
    first = (
        begun if begun is None or not tries else begun - sum(each.seconds + each.pause_s for each in tries)
    )
    return _Row(block, first, ended)


def _taken(outcomes: Mapping[str, str], plan: Plan) -> Iterable[str]:
    for key, outcome in outcomes.items():
        target = plan.edges[int(key)].target
        if outcome == "taken":
            yield "end" if target == END_NODE else plan.nodes[target].id


def _tries_of(runs: Sequence[int], rows: Sequence[int]) -> dict[int, tuple[Try, ...]]:
    """Return the tries before the last of rows that were retried, from the events of their runs."""
    if not rows:
        return {}
    events = ExecutionEvent.objects.filter(
        execution_id__in=runs, block_execution_id__in=rows, type__in=("block_started", "block_retrying")
    ).order_by("execution_id", "seq")
    found: dict[int, list[Try]] = defaultdict(list)
    begun: dict[int, datetime] = {}
    failed: dict[int, tuple[datetime, str, float]] = {}
    for row, kind, data, at in events.values_list("block_execution_id", "type", "data", "created_at"):
        if row is None:
            continue
        if kind == "block_started":
            if row in failed:
                ended, error, seconds = failed.pop(row)
                found[row].append(Try(seconds, error, max(0.0, (at - ended).total_seconds())))
            begun[row] = at
        elif row in begun:
            error = str((data.get("error") or {}).get("type") or ErrorType.SYSTEM_ERROR)
            failed[row] = at, error, max(0.0, (at - begun[row]).total_seconds())
    return {row: tuple(tries) for row, tries in found.items()}


def _costs_of(runs: Sequence[Execution]) -> dict[tuple[str, str], _Spent]:
    """Return what language models cost, which was asked last, and the tokens paid, by run and block."""
    usage = (
        LlmUsage.objects.filter(execution_id__in=[run.public_id for run in runs])
        .order_by()
        .values("execution_id", "block_id", "model")
        .annotate(
            cost=Sum("cost_usd"),
            prompt=Sum("prompt_tokens", filter=PAID, default=0),
            completion=Sum("completion_tokens", filter=PAID, default=0),
        )
    )
    found: dict[tuple[str, str], _Spent] = {}
    for row in usage:
        place = row["execution_id"], row["block_id"]
        cost, _, (prompt, completion) = found.get(place, (0.0, "", (0, 0)))
        tokens = prompt + row["prompt"], completion + row["completion"]
        found[place] = cost + float(row["cost"] or 0), row["model"], tokens
    return found


def _map_scopes(runs: Sequence[int]) -> dict[int, int]:
    """Return the rows of maps by the scopes in which their items stand."""
    scopes = Scope.objects.filter(execution_id__in=runs, kind=Scope.Kind.MAP, superseded=False)
    return {pk: row for pk, row in scopes.values_list("pk", "block_execution_id") if row is not None}

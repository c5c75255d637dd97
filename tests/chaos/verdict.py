"""The verdict on a storm: what was promised, recomputed from the rows, the events, the ledger and the list of faults.

A try of a block beyond its first is explained by a retry of its own, or by a ``block_lost`` event; and that event by a
fault that hit the process which ran the block, or by a database that was gone meanwhile.
"""

import statistics
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from django.db import connection

from executions_app.models import BlockExecution, Execution, ExecutionEvent, StartRequest
from executions_app.worker_identity import LEASE_S
from tests.chaos.faults import Fault
from tests.chaos.workload import Kind
from tests.consistency import assert_consistent
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES

# After a gap without ticks no lease expires for two lease periods; a recovery meanwhile is a matter of that.
GRACE_S = 2 * LEASE_S + 3
SLOW_S = 10.0
# A fault is over once processes are up again and have found their connections.
AFTERMATH_S = 5.0
TRIES = """
    SELECT execution, block, key, pid, extract(epoch FROM begun_at)::float8,
        extract(epoch FROM ended_at)::float8, outcome
    FROM chaos_ledger ORDER BY begun_at
"""
TOLD = ("block_started", "block_lost", "block_retrying", "block_completed")


class Try(NamedTuple):
    """One row of the ledger, times in seconds of the epoch."""

    execution: str
    block: str
    key: str
    pid: int
    begun: float
    ended: float | None
    outcome: str | None


@dataclass
class Verdict:
    """What `build/chaos.json` says; see docs/durability.md."""

    seed: int
    runs: int = 0
    worker_kills: int = 0
    redis_kills: int = 0
    postgres_kills: int = 0
    other_faults: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    stuck: int = 0
    double_completions: int = 0
    unexplained_reruns: int = 0
    inconsistent: int = 0
    recovery_p99_s: float | None = None
    recovery_max_s: float | None = None
    recoveries: int = 0
    recovery_while_database_gone_max_s: float | None = None
    recoveries_while_database_gone: int = 0
    median_blocks: float = 0
    min_active_at_kill: int = 0
    blocks: int = 0
    tries: int = 0
    reruns: int = 0
    rejected_results: int = 0
    slow_recoveries: list[str] = field(default_factory=list)
    seconds: float = 0
    findings: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Tell whether everything promised was kept; how long recoveries took is the reader's to judge."""
        wrong = (self.lost, self.stuck, self.double_completions, self.unexplained_reruns, self.inconsistent)
        return not any(wrong) and not self.findings

    def document(self) -> dict[str, Any]:
        return asdict(self)


class Judge:
    """Reads everything once, when nobody works any more."""

    def __init__(self, accepted: Mapping[str, Kind], faults: Sequence[Fault], verdict: Verdict) -> None:
        self.accepted, self.faults, self.verdict = accepted, faults, verdict
        self.runs = {run.public_id: run for run in Execution.objects.all()}
        rows = BlockExecution.objects.select_related("execution").defer("input", "outcomes")
        self.rows = {row.pk: row for row in rows}
        self.events: dict[int, list[tuple[str, float]]] = defaultdict(list)
        for event in ExecutionEvent.objects.filter(type__in=TOLD).order_by("execution_id", "seq"):
            self.events[event.block_execution_id or 0].append((event.type, event.created_at.timestamp()))
        with connection.cursor() as cursor:
            cursor.execute(TRIES)
            self.tries: dict[str, list[Try]] = defaultdict(list)
            for found in cursor.fetchall():
                self.tries[found[2]].append(Try(*found))
        self.database_gone = [(fault.began, fault.ended) for fault in faults if fault.kind == "postgres"]

    def judge(self) -> Verdict:
        self._count()
        self._judge_runs()
        self._judge_blocks()
        self._measure_recovery()
        return self.verdict

    def _find(self, counter: str, finding: str) -> None:
        setattr(self.verdict, counter, getattr(self.verdict, counter) + 1)
        self.verdict.findings.append(f"{counter}: {finding}")

    def _count(self) -> None:
        verdict, counts = self.verdict, Counter(fault.kind for fault in self.faults)
        verdict.runs = len(self.runs)
        verdict.worker_kills = sum(fault.kills_worker for fault in self.faults)
        verdict.redis_kills, verdict.postgres_kills = counts["redis"], counts["postgres"]
        others = ("flush", "stop", "duplicate", "beat", "crash")
        verdict.other_faults = {kind: counts[kind] for kind in others if counts[kind]}
        verdict.min_active_at_kill = min(
            (fault.active for fault in self.faults if fault.kind != "crash"), default=0
        )
        done = Counter(
            row.execution_id for row in self.rows.values() if row.kind != "gate" and row.status != "SKIPPED"
        )
        verdict.median_blocks = statistics.median(done.values()) if done else 0
        verdict.blocks = sum(done.values())
        verdict.tries = sum(map(len, self.tries.values()))

    def _judge_runs(self) -> None:
        started = dict(StartRequest.objects.values_list("key", "execution__public_id"))
        for key, kind in self.accepted.items():
            run = self.runs.get(started.get(key, ""))
            if run is None:
                self._find("lost", f"the accepted start {key} ({kind.name}) has no run")
            elif run.status not in ENDED_EXECUTION_STATUSES:
                self._find(
                    "stuck", f"{run.public_id} ({kind.name}) is {run.status}: {self._open_blocks(run)}"
                )
            elif run.status != kind.ends:
                self._find("lost", f"{run.public_id} ({kind.name}) ended {run.status}: {run.error}")
        top = [run for run in self.runs.values() if run.parent_id is None]
        if len(top) != len(self.accepted):
            self._find("inconsistent", f"{len(self.accepted)} accepted starts made {len(top)} runs")
        for run in self.runs.values():
            try:
                assert_consistent(run)
            except AssertionError as error:
                self._find("inconsistent", f"{run.public_id}: {error}")

    def _open_blocks(self, run: Execution) -> str:
        rows = [row for row in self.rows.values() if row.execution_id == run.pk and not row.settled]
        return ", ".join(f"{row.block_id} {row.status}" for row in rows)

    def _judge_blocks(self) -> None:
        for row in self.rows.values():
            kinds = Counter(kind for kind, _ in self.events[row.pk])
            if kinds["block_completed"] > 1:
                self._find("double_completions", f"{row} was completed {kinds['block_completed']} times")
            tries = self.tries.get(key_of(row), [])
            if row.status == "COMPLETED" and tries and all(found.outcome != "done" for found in tries):
                self._find("lost", f"{row} is COMPLETED and its work was never done")
            extra = len(tries) - 1 - kinds["block_retrying"]
            self.verdict.reruns += max(0, extra)
            if extra > kinds["block_lost"]:
                self._find("unexplained_reruns", f"{row}: {len(tries)} tries, {dict(kinds)}")
            for lost_at in (at for kind, at in self.events[row.pk] if kind == "block_lost"):
                if not self._explained(row, tries, lost_at):
                    self._find("unexplained_reruns", f"{row} was lost at {lost_at:.1f} and no fault hit it")
            self.verdict.rejected_results += max(0, sum(found.outcome == "done" for found in tries) - 1)
        known = {key_of(row) for row in self.rows.values()}
        for key in self.tries.keys() - known:
            self._find("unexplained_reruns", f"the ledger has {key}, which is no block's")

    def _explained(self, row: BlockExecution, tries: Sequence[Try], lost_at: float) -> bool:
        """Say whether a fault accounts for a block's loss: one that hit its process, or the database."""
        starts = [at for kind, at in self.events[row.pk] if kind == "block_started" and at <= lost_at]
        claimed_at = starts[-1] if starts else 0.0
        if any(began - 1 <= lost_at and ended + GRACE_S >= claimed_at for began, ended in self.database_gone):
            return True
        ran_in = [found.pid for found in tries if claimed_at <= found.begun <= lost_at]
        # Killed before its work began, it left no row to tell the process.
        return any(
            fault.pids
            and claimed_at - AFTERMATH_S <= fault.began <= lost_at
            and (not ran_in or ran_in[-1] in fault.pids)
            for fault in self.faults
        )

    def _measure_recovery(self) -> None:
        """Measure, for each try that a killed worker left, the time from the kill to the block's next start."""
        calm: list[float] = []
        disturbed: list[float] = []
        by_pid: dict[int, list[tuple[Try, BlockExecution]]] = defaultdict(list)
        row_of = {key_of(row): row for row in self.rows.values()}
        for key, tries in self.tries.items():
            for found in tries:
                if key in row_of:
                    by_pid[found.pid].append((found, row_of[key]))
        for fault in self.faults:
            for pid in fault.pids if fault.kills_worker else ():
                for found, row in by_pid[pid]:
                    took = self._recovered_in(fault, found, row)
                    if took is not None:
                        gone = self._database_was_gone(fault.began, fault.began + took)
                        (disturbed if gone else calm).append(took)
                        if took > SLOW_S and not gone:
                            self.verdict.slow_recoveries.append(
                                f"{row}: {took:.1f} s after {fault.kind}, sent {row.sends} times more; "
                                f"{[(kind, round(at - fault.began, 1)) for kind, at in self.events[row.pk]]}"
                            )
        verdict = self.verdict
        verdict.recoveries, verdict.recoveries_while_database_gone = len(calm), len(disturbed)
        verdict.recovery_p99_s = quantile(calm, 0.99)
        verdict.recovery_max_s = quantile(calm, 1.0)
        verdict.recovery_while_database_gone_max_s = quantile(disturbed, 1.0)

    def _recovered_in(self, fault: Fault, found: Try, row: BlockExecution) -> float | None:
        if found.begun > fault.began or (found.ended is not None and found.ended < fault.began):
            return None
        events = [event for event in self.events[row.pk] if event[1] > fault.began]
        lost = next((at for kind, at in events if kind == "block_lost"), None)
        if lost is None:
            return None  # a process that outlived its parent finished it
        return next((at - fault.began for kind, at in events if kind == "block_started" and at >= lost), None)

    def _database_was_gone(self, start: float, end: float) -> bool:
        return any(began <= end and ended + GRACE_S >= start for began, ended in self.database_gone)


def key_of(row: BlockExecution) -> str:
    """Return the idempotency key of a block's work, by which the ledger knows it."""
    return f"{row.execution.public_id}:{row.scope_id}:{row.block_id}:{row.item_index}:{row.generation}"


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least ``share`` of the values do not exceed, in ms precision."""
    if not values:
        return None
    ordered = sorted(values)
    ranks = [(n + 1) / len(ordered) for n in range(len(ordered))]
    return round(ordered[min(bisect_left(ranks, share), len(ordered) - 1)], 3)

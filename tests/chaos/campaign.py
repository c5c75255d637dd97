"""One storm from its first run to its verdict, told as it goes on."""

import argparse
import sys
import time

from django.db import connection

from executions_app.models import WorkerLease
from executions_app.transaction import persistently
from tests.chaos import ledger
from tests.chaos.faults import Killer, Schedule
from tests.chaos.stack import CHILDREN, ChaosStack
from tests.chaos.verdict import Judge, Verdict
from tests.chaos.workload import Workload, count_active, count_blocks

READY_TIMEOUT_S = 120.0
DRAIN_TIMEOUT_S = 120.0
TELL_EVERY_S = 5.0
COLUMNS = (
    "seconds",
    "started",
    "active",
    "queued",
    "running",
    "worker kills",
    "redis",
    "postgres",
    "other faults",
)


def run(stack: ChaosStack, options: argparse.Namespace) -> Verdict:
    """Start runs, let everything happen to them that is asked for, wait for their ends, and judge."""
    with connection.cursor() as cursor:
        cursor.execute(ledger.SCHEMA)
    began = time.monotonic()
    load = Workload(options.seed, options.runs, options.active, round(options.rest * 1_000))
    schedule = Schedule(
        options.seed, options.seconds, options.kills, options.redis, options.postgres, options.others
    )
    teller = _Teller(load)
    killer = Killer(stack, schedule, options.least_active, teller.tell)
    teller.killer = killer
    _say(
        f"seed {options.seed}: {len(schedule.kinds())} faults in {options.seconds:.0f} s, {options.runs} runs"
    )
    children = CHILDREN * sum(name.startswith("worker") for name in stack.processes)
    if not killer.pass_time(lambda: WorkerLease.objects.count() > children, READY_TIMEOUT_S):
        raise TimeoutError("the workers did not come up")
    _say("  ".join(f"{name:>12}" for name in COLUMNS))
    load.begin()
    killer.run()
    load.finish()
    killer.pass_time(lambda: load.all_started, options.runs)
    killer.pass_time(lambda: persistently(count_active) == 0, DRAIN_TIMEOUT_S)
    teller.tell(now=True)
    load.end()
    verdict = Judge(load.accepted, killer.done + killer.crashes(), Verdict(options.seed)).judge()
    verdict.findings += load.errors
    verdict.seconds = round(time.monotonic() - began, 1)
    _tell_verdict(verdict)
    return verdict


class _Teller:
    """Prints a line every few seconds."""

    def __init__(self, load: Workload) -> None:
        self.killer: Killer | None = None
        self._load = load
        self._began = self._told = time.monotonic()

    def tell(self, *, now: bool = False) -> None:
        elapsed = time.monotonic()
        if self.killer is None or not (now or elapsed - self._told > TELL_EVERY_S):
            return
        self._told = elapsed
        if self._load.errors:
            raise RuntimeError(self._load.errors[0])
        counts = self.killer.counts
        others = sum(counts.values()) - counts["kill"] - counts["redis"] - counts["postgres"]
        line = (
            round(elapsed - self._began), len(self._load.accepted), persistently(count_active),
            *persistently(count_blocks),
            counts["kill"], counts["redis"], counts["postgres"], others,
        )  # fmt: skip
        _say("  ".join(f"{value:>12}" for value in line))


def _tell_verdict(verdict: Verdict) -> None:
    for name, value in verdict.document().items():
        if name not in ("findings", "slow_recoveries"):
            _say(f"{name:>36}  {value}")
    if not verdict.holds:
        _say("A promise was not kept.")
    for line in (*verdict.slow_recoveries, *verdict.findings[:50]):
        _say(f"! {line}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()

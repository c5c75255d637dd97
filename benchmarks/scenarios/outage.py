"""The database is gone for five seconds in the middle of the work: every run completes all the same."""

import time
from collections.abc import Iterator

from django.db import connection

from benchmarks import engine
from benchmarks.bench import Bench
from benchmarks.figures import Figure

GONE_S = 5.0
STEPS = 40
TIMEOUT_S = 90.0
DONE = "SELECT count(*) FROM executions_app_blockexecution WHERE execution_id = ANY(%s) AND settled"


def measure(bench: Bench) -> Iterator[Figure]:
    """Stop Postgres once a fifth of the blocks is done; recovered is when the first block more is settled."""
    runs = bench.scale(50, 20)
    template = engine.chain(STEPS)
    ids = [engine.start(template).pk for _ in range(runs)]
    while _done(ids) < runs * STEPS / 5:
        time.sleep(0.02)
    connection.close()
    bench.stack.stop_database()
    stopped_at = time.monotonic()
    bench.say(f"the database is stopped for {GONE_S:.0f} s in the middle of {runs} runs")
    time.sleep(GONE_S)
    bench.stack.start_database()
    back_at = time.monotonic()
    done = _done(ids)
    if done == runs * STEPS:
        raise engine.NotCompleted("the runs were done before the database was stopped")
    while _done(ids) == done and time.monotonic() < back_at + TIMEOUT_S:
        time.sleep(0.02)
    recovered_at = time.monotonic()
    engine.wait_for_all(ids, TIMEOUT_S)
    ended_at = time.monotonic()
    bench.stack.check()
    yield Figure(
        "outage_5s.completed", len(ids), f"database gone for {back_at - stopped_at:.1f} s", at_least=runs
    )
    yield Figure("outage_5s.recovery_s", recovered_at - back_at, "to the first block after", at_most=10.0)
    yield Figure("outage_5s.rest_s", ended_at - back_at, "to the end of the last run")


def _done(ids: list[int]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(DONE, [ids])
        return int(cursor.fetchone()[0])

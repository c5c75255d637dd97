"""The load on real Postgres: what a run loaded is there exactly once, whatever happens to its tries."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import psycopg
import pytest

from examples.sales_etl.cleaning import Sale
from examples.sales_etl.loading import Load, load_sales, read_figures

Analytics = psycopg.Connection


def sales(count: int) -> list[Sale]:
    price = Decimal("2.50")
    return [
        Sale(f"S-{number}", date(2025, 1, 1 + number % 3), "C1", "Ana", "North", "Lamp", 2, price, price * 2)
        for number in range(count)
    ]


def count_rows(analytics: Analytics, execution_id: str) -> dict[str, int]:
    counts = {}
    for table in ("loads", "sales", "daily_revenue"):
        query = f"SELECT count(*) FROM sales_etl.{table} WHERE execution_id = %s"  # noqa: S608
        row = analytics.execute(query.encode(), [execution_id]).fetchone()
        assert row is not None
        counts[table] = row[0]
    return counts


def test_a_load_fills_all_tables(analytics: Analytics) -> None:
    loaded = load_sales(sales(10), execution_id="fills", idempotency_key="k")
    assert loaded == Load(rows=10, days=3, revenue=Decimal("50.00"), times_loaded=1)
    assert count_rows(analytics, "fills") == {"loads": 1, "sales": 10, "daily_revenue": 3}
    figures = read_figures("fills")
    assert (figures.rows, figures.revenue) == (10, Decimal("50.00"))
    assert figures.days[0] == (date(2025, 1, 1), Decimal("20.00"))
    assert figures.products == (("Lamp", 10, Decimal("50.00")),)


def test_loading_again_replaces_the_runs_own_rows_only(analytics: Analytics) -> None:
    load_sales(sales(5), execution_id="other", idempotency_key="k")
    load_sales(sales(10), execution_id="again", idempotency_key="k")
    loaded = load_sales(sales(7), execution_id="again", idempotency_key="k")
    assert (loaded.rows, loaded.times_loaded) == (7, 2)
    assert count_rows(analytics, "again") == {"loads": 1, "sales": 7, "daily_revenue": 3}
    assert count_rows(analytics, "other")["sales"] == 5


def test_a_load_that_breaks_off_leaves_what_was_there(analytics: Analytics) -> None:
    load_sales(sales(10), execution_id="breaks", idempotency_key="k")

    def broken() -> Iterator[Sale]:
        yield from sales(3)
        raise ValueError("the file ends in the middle of a line")

    with pytest.raises(ValueError, match="in the middle"):
        load_sales(broken(), execution_id="breaks", idempotency_key="k")
    assert count_rows(analytics, "breaks") == {"loads": 1, "sales": 10, "daily_revenue": 3}
    assert load_sales(sales(10), execution_id="breaks", idempotency_key="k").times_loaded == 2


def test_an_order_that_comes_twice_loads_nothing(analytics: Analytics) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        load_sales([*sales(3), *sales(1)], execution_id="twice", idempotency_key="k")
    load_sales(sales(1), execution_id="twice", idempotency_key="k")
    assert count_rows(analytics, "twice")["sales"] == 1


def test_a_late_first_try_and_its_re_run_do_not_mix(analytics: Analytics) -> None:
    in_the_middle, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[Sale]:
        yield from sales(5)
        in_the_middle.set()
        assert go_on.wait(10)
        yield from sales(10)[5:]

    first = threading.Thread(target=lambda: load_sales(slow(), execution_id="late", idempotency_key="k"))
    first.start()
    assert in_the_middle.wait(10)
    results: list[Load] = []
    second = threading.Thread(
        target=lambda: results.append(load_sales(sales(10), execution_id="late", idempotency_key="k"))
    )
    second.start()
    go_on.set()
    first.join(10)
    second.join(10)
    assert results[0].times_loaded == 2
    assert count_rows(analytics, "late") == {"loads": 1, "sales": 10, "daily_revenue": 3}


def test_many_first_callers_make_the_tables_once(analytics: Analytics) -> None:
    analytics.execute("DROP SCHEMA IF EXISTS sales_etl CASCADE")
    errors: list[BaseException] = []

    def load(number: int) -> None:
        try:
            load_sales(sales(2), execution_id=f"first{number}", idempotency_key="k")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert errors == []
    assert [count_rows(analytics, f"first{number}")["sales"] for number in range(6)] == [2] * 6


KILLED_AFTER_COMMIT = """
import os, signal, sys
from tests.integration.examples.test_sales_load import sales
from examples.sales_etl.loading import load_sales
load_sales(sales(10), execution_id=sys.argv[1], idempotency_key="k")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_after_its_commit_and_run_again_loads_once(analytics: Analytics) -> None:
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", KILLED_AFTER_COMMIT, "killed"]
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert count_rows(analytics, "killed")["sales"] == 10
    assert load_sales(sales(10), execution_id="killed", idempotency_key="k").times_loaded == 2
    assert count_rows(analytics, "killed") == {"loads": 1, "sales": 10, "daily_revenue": 3}


def test_a_database_out_of_reach_is_worth_another_try(
    analytics: Analytics, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workflow_service.settings.config import get_config

    monkeypatch.setenv("ANALYTICS_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    get_config.cache_clear()
    with pytest.raises(ConnectionError, match="cannot be reached"):
        load_sales(sales(1), execution_id="unreachable", idempotency_key="k")

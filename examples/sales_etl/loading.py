"""Sales into Postgres, exactly once for a run however often its load is run.

Everything a run loaded bears its execution id. A load is one transaction that takes the run's row of
``loads`` (so that a late first try and its re-run wait for each other), drops what an earlier try
left, and copies anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from psycopg import sql

from examples.connection import fetch_one, transaction
from examples.sales_etl.cleaning import Sale

SCHEMA = "sales_etl"
TABLES = """
CREATE TABLE IF NOT EXISTS loads (
    execution_id    text PRIMARY KEY,
    idempotency_key text NOT NULL,
    loaded_at       timestamptz NOT NULL DEFAULT now(),
    times_loaded    integer NOT NULL DEFAULT 1
);
CREATE TABLE IF NOT EXISTS sales (
    execution_id  text NOT NULL REFERENCES loads ON DELETE CASCADE,
    order_id      text NOT NULL,
    sold_on       date NOT NULL,
    customer_id   text NOT NULL,
    customer_name text NOT NULL,
    region        text NOT NULL,
    product       text NOT NULL,
    quantity      integer NOT NULL CHECK (quantity > 0),
    unit_price    numeric(14, 2) NOT NULL CHECK (unit_price >= 0),
    amount        numeric(16, 2) NOT NULL CHECK (amount = quantity * unit_price),
    PRIMARY KEY (execution_id, order_id)
);
CREATE TABLE IF NOT EXISTS daily_revenue (
    execution_id text NOT NULL REFERENCES loads ON DELETE CASCADE,
    day          date NOT NULL,
    orders       integer NOT NULL,
    revenue      numeric(18, 2) NOT NULL,
    PRIMARY KEY (execution_id, day)
);
"""
TAKE_LOAD = """
INSERT INTO loads (execution_id, idempotency_key) VALUES (%(execution)s, %(key)s)
ON CONFLICT (execution_id) DO UPDATE
   SET idempotency_key = excluded.idempotency_key, loaded_at = now(), times_loaded = loads.times_loaded + 1
RETURNING times_loaded
"""
COPY_SALES = """
COPY sales (
    execution_id, order_id, sold_on, customer_id, customer_name, region, product, quantity, unit_price, amount
) FROM STDIN
"""
SUM_DAYS = """
INSERT INTO daily_revenue (execution_id, day, orders, revenue)
SELECT execution_id, sold_on, count(*), sum(amount) FROM sales WHERE execution_id = %s GROUP BY 1, 2
"""
SUM_LOAD = "SELECT count(*), coalesce(sum(amount), 0) FROM sales WHERE execution_id = %s"
SUM_PARTS = sql.SQL(
    "SELECT {}, count(*), sum(amount) FROM sales WHERE execution_id = %s GROUP BY 1 ORDER BY 3 DESC, 1"
)


@dataclass(frozen=True)
class Load:
    """What one load left in the tables; ``times_loaded`` counts this run's tries that committed."""

    rows: int
    days: int
    revenue: Decimal
    times_loaded: int


@dataclass(frozen=True)
class Figures:
    """What the report shows, read back from the tables."""

    rows: int
    revenue: Decimal
    days: tuple[tuple[date, Decimal], ...]
    products: tuple[tuple[str, int, Decimal], ...]
    regions: tuple[tuple[str, int, Decimal], ...]


def load_sales(sales: Iterable[Sale], *, execution_id: str, idempotency_key: str) -> Load:
    """Replace all that the run loaded by ``sales``; raises ``ConnectionError`` without a database."""
    with transaction(SCHEMA, TABLES) as connection:
        parameters = {"execution": execution_id, "key": idempotency_key}
        (times_loaded,) = fetch_one(connection.execute(TAKE_LOAD, parameters))
        for table in (b"sales", b"daily_revenue"):
            connection.execute(b"DELETE FROM " + table + b" WHERE execution_id = %s", [execution_id])
        with connection.cursor() as cursor, cursor.copy(COPY_SALES) as copy:
            for sale in sales:
                copy.write_row((execution_id, *vars(sale).values()))
        days = connection.execute(SUM_DAYS, [execution_id]).rowcount
        rows, revenue = fetch_one(connection.execute(SUM_LOAD, [execution_id]))
    return Load(rows=rows, days=days, revenue=revenue, times_loaded=times_loaded)


def read_figures(execution_id: str) -> Figures:
    """Return what the tables hold of a run."""
    with transaction(SCHEMA, TABLES) as connection:
        days = connection.execute(
            "SELECT day, revenue FROM daily_revenue WHERE execution_id = %s ORDER BY day", [execution_id]
        ).fetchall()
        parts = {
            column: connection.execute(SUM_PARTS.format(sql.Identifier(column)), [execution_id]).fetchall()
            for column in ("product", "region")
        }
    return Figures(
        rows=sum(count for _, count, _ in parts["product"]),
        revenue=sum((revenue for _, revenue in days), Decimal(0)),
        days=tuple((day, revenue) for day, revenue in days),
        products=tuple((name, count, revenue) for name, count, revenue in parts["product"]),
        regions=tuple((name, count, revenue) for name, count, revenue in parts["region"]),
    )

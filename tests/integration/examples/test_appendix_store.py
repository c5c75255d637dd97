"""The store's one promise: an effect happens once for an idempotency key, and one that fails leaves nothing."""

import threading
import time
from typing import Any

import psycopg
import pytest

from examples.appendix_c.orders import Item, Items, reserve
from examples.appendix_c.outbox import Message, send
from examples.appendix_c.store import Connection, Result, once
from workflow_service.agents.limits import tool_limits
from workflow_service.agents.run_files import NoRunFiles
from workflow_service.agents.use_cases import RunContext

Analytics = psycopg.Connection
MESSAGE = Message(channel="email", recipient="ana", subject="s", body="b")


def run_with(key: str, execution_id: str = "exec_1") -> RunContext:
    deadline = time.monotonic() + 60
    return RunContext(
        execution_id, "block", "ws", key, lambda line: None, deadline, tool_limits(), NoRunFiles()
    )


def count_of(analytics: Analytics, query: str) -> Any:
    row = analytics.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_the_same_key_does_its_work_once_and_answers_the_same(analytics: Analytics) -> None:
    assert send(MESSAGE, run_with("k")) == send(MESSAGE, run_with("k"))
    assert count_of(analytics, "SELECT count(*) FROM appendix_c.outbox") == 1
    send(MESSAGE, run_with("another"))
    assert count_of(analytics, "SELECT count(*) FROM appendix_c.outbox") == 2


def test_two_workers_with_one_key_do_it_once(analytics: Analytics) -> None:
    begun, go_on = threading.Event(), threading.Event()
    answers: list[Result] = []

    def slow(connection: Connection) -> Result:
        begun.set()
        assert go_on.wait(10)
        return {"by": "first"}

    def quick(connection: Connection) -> Result:
        return {"by": "second"}

    first = threading.Thread(target=lambda: answers.append(once(run_with("k"), slow)))
    second = threading.Thread(target=lambda: answers.append(once(run_with("k"), quick)))
    first.start()
    assert begun.wait(10)
    second.start()
    go_on.set()
    first.join(10)
    second.join(10)
    assert answers == [{"by": "first"}, {"by": "first"}]


def test_work_that_fails_leaves_nothing_and_can_be_done_again(analytics: Analytics) -> None:
    short = Items(order_id="o", items=[Item(sku="lamp", quantity=1), Item(sku="sofa", quantity=1)])
    with pytest.raises(RuntimeError, match="sofa is no longer on hand"):
        reserve(short, run_with("k"))
    assert count_of(analytics, "SELECT on_hand FROM appendix_c.stock WHERE sku = 'lamp'") == 40
    assert count_of(analytics, "SELECT count(*) FROM appendix_c.reservations") == 0
    analytics.execute("UPDATE appendix_c.stock SET on_hand = 1 WHERE sku = 'sofa'")
    assert len(reserve(short, run_with("k")).reserved_items) == 2
    assert count_of(analytics, "SELECT on_hand FROM appendix_c.stock WHERE sku = 'sofa'") == 0


def test_a_restarted_block_has_another_key_and_still_reserves_once(analytics: Analytics) -> None:
    items = Items(order_id="o", items=[Item(sku="lamp", quantity=3)])
    reserve(items, run_with("first"))
    reserve(items, run_with("after a restart"))
    assert count_of(analytics, "SELECT on_hand FROM appendix_c.stock WHERE sku = 'lamp'") == 37

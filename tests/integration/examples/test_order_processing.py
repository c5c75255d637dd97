"""Order processing down each of its branches: stock, ledger, orders and outbox are what the branch promises."""

from typing import Any

import psycopg

from tests.integration.examples.appendix_runs import AppendixRun, new_id, run_appendix

Analytics = psycopg.Connection
STOCK = {"lamp": 40, "chair": 12, "desk": 3, "sofa": 0}
CUSTOMER = "ana@example.com"


def order(
    analytics: Analytics, *items: tuple[str, int], card: str | None = "card-gold", **fields: Any
) -> AppendixRun:
    given = {
        "order_id": new_id("order"),
        "customer_email": CUSTOMER,
        "items": [{"sku": sku, "quantity": quantity} for sku, quantity in items],
        **({} if card is None else {"card": card}),
        **fields,
    }
    return run_appendix(analytics, "order_processing", {"order": given})


def stock(run: AppendixRun) -> dict[str, int]:
    return dict(run.rows("SELECT sku, on_hand FROM stock"))


def ledger(run: AppendixRun) -> list[tuple[Any, ...]]:
    return run.rows(
        "SELECT card, outcome, amount_cents FROM ledger JOIN orders USING (order_id) WHERE execution_id = %s"
    )


def status(run: AppendixRun) -> list[tuple[Any, ...]]:
    return run.rows("SELECT status FROM orders WHERE execution_id = %s")


def test_all_on_hand_and_paid(analytics: Analytics) -> None:
    run = order(analytics, ("lamp", 2), ("desk", 1))
    assert run.execution.status == "COMPLETED", run.execution.error
    assert run.visited == {
        "validate_order",
        "check_inventory",
        "reserve_inventory",
        "process_payment",
        "send_confirmation",
        "notify_fulfillment",
    }
    assert stock(run) == {**STOCK, "lamp": 38, "desk": 2}
    assert ledger(run) == [("card-gold", "charged", 2 * 3490 + 68900)]
    assert status(run) == [("paid",)]
    assert [message[:2] for message in run.messages] == [("email", CUSTOMER), ("warehouse", "fulfilment")]
    assert run.messages[0][2].endswith("is confirmed")


def test_payment_fails(analytics: Analytics) -> None:
    run = order(analytics, ("lamp", 2), card="card-empty")
    assert run.execution.status == "COMPLETED", run.execution.error
    assert {"payment_failed", "release_inventory", "notify_payment_failure"} <= run.visited
    assert "send_confirmation" not in run.visited
    assert stock(run) == STOCK
    assert run.rows("SELECT sku, quantity, released FROM reservations WHERE execution_id = %s") == [
        ("lamp", 2, True)
    ]
    assert ledger(run) == [("card-empty", "declined", 6980)]
    assert status(run) == [("released",)]
    ((_, recipient, subject),) = run.messages
    assert (recipient, subject.split()[0]) == (CUSTOMER, "Payment")


def test_some_on_hand_waits_for_the_customers_decision(analytics: Analytics) -> None:
    run = order(analytics, ("lamp", 1), ("sofa", 1))
    assert run.execution.status == "WAITING_FOR_APPROVAL"
    assert stock(run) == {**STOCK, "lamp": 39}
    run.answer(customer_decision="send_available")
    assert run.execution.status == "COMPLETED", run.execution.error
    assert run.visited == {
        "validate_order",
        "check_inventory",
        "partial_availability",
        "send_partial_notification",
        "wait_customer_decision",
    }
    assert run.rows("SELECT sku, released FROM reservations WHERE execution_id = %s") == [("lamp", False)]
    assert ledger(run) == []
    assert [message[2].split()[0] for message in run.messages] == ["Part"]


def test_nothing_on_hand(analytics: Analytics) -> None:
    run = order(analytics, ("sofa", 2), ("desk", 4))
    assert run.visited == {"validate_order", "check_inventory", "out_of_stock", "notify_out_of_stock"}
    assert stock(run) == STOCK
    backorders = run.rows("SELECT sku, quantity FROM backorders WHERE execution_id = %s ORDER BY sku")
    assert backorders == [("desk", 4), ("sofa", 2)]
    assert status(run) == [("out_of_stock",)]
    assert run.messages[0][2].endswith("is out of stock")


def test_an_order_that_cannot_be_placed(analytics: Analytics) -> None:
    run = order(analytics, ("unicorn", 1), ("lamp", 0), card=None)
    assert run.execution.status == "COMPLETED", run.execution.error
    assert run.visited == {"validate_order", "order_error"}
    assert (stock(run), ledger(run), status(run)) == (STOCK, [], [("rejected",)])
    ((body,),) = run.rows("SELECT body FROM outbox WHERE execution_id = %s")
    for reason in (
        "unicorn is not in the catalogue",
        "lamp: the quantity must be at least 1",
        "no payment card",
    ):
        assert reason in body


def test_an_order_that_is_placed_twice_is_carried_out_once(analytics: Analytics) -> None:
    order(analytics, ("lamp", 1), order_id="same")
    run = order(analytics, ("lamp", 1), order_id="same")
    assert run.visited == {"validate_order", "order_error"}
    assert stock(run)["lamp"] == 39
    assert run.rows("SELECT status FROM orders WHERE order_id = 'same'") == [("paid",)]

"""Order processing: a stock that is reserved and released, cards that pay or do not, orders."""

from pydantic import BaseModel, ConfigDict

from examples.appendix_c.store import Connection, Result, once
from examples.connection import fetch_one
from workflow_service.agents.use_cases import RunContext, use_case


class Values(BaseModel):
    """Snake case, as the workflow's conditions read it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Item(Values):
    sku: str
    quantity: int


class Order(Values):
    """An order as a customer sends it: what it says may be wrong."""

    order_id: str
    customer_email: str
    items: list[Item]
    card: str | None = None


class OrderChecked(Values):
    order_valid: bool
    order_errors: list[str]
    total_cents: int


class Items(Values):
    order_id: str
    items: list[Item]


class Availability(Values):
    """Exactly one of the first three is true."""

    all_available: bool
    some_available: bool
    none_available: bool
    available_items: list[Item]
    missing_items: list[Item]


class Reserved(Values):
    reserved_items: list[Item]


class Payment(Values):
    order_id: str
    card: str
    amount_cents: int


class Paid(Values):
    payment_success: bool
    payment_problem: str | None


class OrderId(Values):
    order_id: str


class Released(Values):
    released_items: list[Item]


class NewStatus(Values):
    order_id: str
    status: str


class OrderStatus(Values):
    order_status: str


@use_case("orders.validate")
def validate(order: Order, run: RunContext) -> OrderChecked:
    """Check an order against the catalogue and earlier orders, price it, and note it as received."""

    def work(connection: Connection) -> Result:
        prices: dict[str, int] = dict(connection.execute("SELECT sku, price_cents FROM stock").fetchall())
        errors = find_errors(order, prices)
        total = 0 if errors else sum(prices[item.sku] * item.quantity for item in order.items)
        placed = connection.execute(
            "INSERT INTO orders VALUES (%s, %s, %s, %s) ON CONFLICT (order_id) DO UPDATE"
            " SET status = excluded.status, total_cents = excluded.total_cents"
            " WHERE orders.execution_id = excluded.execution_id",
            [order.order_id, run.execution_id, "rejected" if errors else "received", total],
        )
        if placed.rowcount == 0:
            errors = [f"order {order.order_id} was placed before"]
        return {"order_valid": not errors, "order_errors": errors, "total_cents": total}

    return OrderChecked(**once(run, work))


def find_errors(order: Order, prices: dict[str, int]) -> list[str]:
    """Return every reason why the order cannot be carried out."""
    skus = [item.sku for item in order.items]
    errors = [] if order.items else ["the order has no items"]
    errors += [f"{sku} is not in the catalogue" for sku in skus if sku not in prices]
    errors += [f"{item.sku}: the quantity must be at least 1" for item in order.items if item.quantity < 1]
    errors += [f"{sku} is listed twice" for sku in sorted({sku for sku in skus if skus.count(sku) > 1})]
    return errors if order.card else [*errors, "no payment card is given"]


@use_case("orders.check_inventory")
def check_inventory(order: Items, run: RunContext) -> Availability:
    """Tell which items are on hand in the quantity that is ordered."""

    def work(connection: Connection) -> Result:
        on_hand: dict[str, int] = dict(connection.execute("SELECT sku, on_hand FROM stock").fetchall())
        available = [item.model_dump() for item in order.items if on_hand.get(item.sku, 0) >= item.quantity]
        missing = [item.model_dump() for item in order.items if on_hand.get(item.sku, 0) < item.quantity]
        return {
            "all_available": not missing,
            "some_available": bool(missing and available),
            "none_available": bool(missing and not available),
            "available_items": available,
            "missing_items": missing,
        }

    return Availability(**once(run, work))


@use_case("orders.reserve")
def reserve(order: Items, run: RunContext) -> Reserved:
    """Take the items out of the stock for this run: all of them or none.

    Raises ``RuntimeError`` where another order took one of them since they were checked.
    """

    def work(connection: Connection) -> Result:
        # In the same order for everybody, so that two orders never wait for each other's rows.
        for item in sorted(order.items, key=lambda item: item.sku):
            reserve_item(connection, run.execution_id, item)
        set_status(connection, order.order_id, "reserved")
        return {"reserved_items": [item.model_dump() for item in order.items]}

    return Reserved(**once(run, work))


def reserve_item(connection: Connection, execution_id: str, item: Item) -> None:
    """Reserve one item, unless this run holds it already (the block was restarted)."""
    held = connection.execute(
        "INSERT INTO reservations VALUES (%s, %s, %s) ON CONFLICT (execution_id, sku) DO UPDATE"
        " SET released = false, quantity = excluded.quantity WHERE reservations.released",
        [execution_id, item.sku, item.quantity],
    )
    if held.rowcount == 0:
        return
    taken = connection.execute(
        "UPDATE stock SET on_hand = on_hand - %(quantity)s WHERE sku = %(sku)s AND on_hand >= %(quantity)s",
        item.model_dump(),
    )
    if taken.rowcount == 0:
        raise RuntimeError(f"{item.sku} is no longer on hand in the quantity {item.quantity}")


@use_case("orders.charge")
def charge(payment: Payment, run: RunContext) -> Paid:
    """Charge the card if it is known and has enough left; either way the attempt stands in the ledger."""

    def work(connection: Connection) -> Result:
        problem = find_payment_problem(connection, payment)
        outcome = "declined" if problem else "charged"
        connection.execute(
            "INSERT INTO ledger VALUES (%s, %s, %s, %s) ON CONFLICT (order_id) DO UPDATE"
            " SET card = excluded.card, outcome = excluded.outcome, amount_cents = excluded.amount_cents"
            " WHERE ledger.outcome = 'declined'",
            [payment.order_id, payment.card, outcome, payment.amount_cents],
        )
        set_status(connection, payment.order_id, "payment_failed" if problem else "paid")
        return {"payment_success": problem is None, "payment_problem": problem}

    return Paid(**once(run, work))


def find_payment_problem(connection: Connection, payment: Payment) -> str | None:
    """Return why the card does not pay; None if it does, or has paid for this order already."""
    limit = "SELECT limit_cents FROM cards WHERE card = %s FOR UPDATE"
    card = connection.execute(limit, [payment.card]).fetchone()
    if card is None:
        return "the card is not known"
    # The order's own charge does not count: a restarted block must not charge twice.
    others = (
        "SELECT coalesce(sum(amount_cents), 0) FROM ledger"
        " WHERE card = %s AND outcome = 'charged' AND order_id <> %s"
    )
    (spent,) = fetch_one(connection.execute(others, [payment.card, payment.order_id]))
    return "the card was declined" if card[0] - spent < payment.amount_cents else None


@use_case("orders.release")
def release(order: OrderId, run: RunContext) -> Released:
    """Put everything that this run reserved back into the stock."""

    def work(connection: Connection) -> Result:
        released = connection.execute(
            "UPDATE reservations SET released = true WHERE execution_id = %s AND NOT released"
            " RETURNING sku, quantity",
            [run.execution_id],
        ).fetchall()
        for sku, quantity in sorted(released):
            connection.execute("UPDATE stock SET on_hand = on_hand + %s WHERE sku = %s", [quantity, sku])
        set_status(connection, order.order_id, "released")
        return {"released_items": [{"sku": sku, "quantity": quantity} for sku, quantity in sorted(released)]}

    return Released(**once(run, work))


@use_case("orders.backorder")
def backorder(order: Items, run: RunContext) -> OrderStatus:
    """Note the items as to be ordered from the supplier."""

    def work(connection: Connection) -> Result:
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO backorders VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                [(run.execution_id, item.sku, item.quantity) for item in order.items],
            )
        return set_status(connection, order.order_id, "out_of_stock")

    return OrderStatus(**once(run, work))


@use_case("orders.set_status")
def change_status(order: NewStatus, run: RunContext) -> OrderStatus:
    """Note how an order stands; one that another run placed is left as it is."""

    def work(connection: Connection) -> Result:
        connection.execute(
            "UPDATE orders SET status = %s WHERE order_id = %s AND execution_id = %s",
            [order.status, order.order_id, run.execution_id],
        )
        return {"order_status": order.status}

    return OrderStatus(**once(run, work))


def set_status(connection: Connection, order_id: str, status: str) -> Result:
    connection.execute("UPDATE orders SET status = %s WHERE order_id = %s", [status, order_id])
    return {"order_status": status}

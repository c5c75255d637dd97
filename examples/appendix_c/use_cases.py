"""Importing this module registers the use cases of all three workflows."""

from examples.appendix_c import checks, delivery, orders, outbox, support

__all__ = ["checks", "delivery", "orders", "outbox", "support"]

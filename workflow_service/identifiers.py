"""Public identifiers: a prefix that says what it names, and 80 random bits."""

import secrets


def new_id(prefix: str) -> str:
    """Return a new identifier such as ``exec_1f0c…``; ``prefix`` is without the underscore."""
    return f"{prefix}_{secrets.token_hex(10)}"

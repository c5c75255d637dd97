"""Which Channels groups anybody listens to, so that hints that nobody waits for are not sent.

Who listens says so before it first reads, and again while it stays. What is not known here costs a listener the time
until it looks by itself, never an event.
"""

from collections.abc import Collection

from django.core.cache import cache

LISTENING_S = 60


def note_listener(groups: Collection[str]) -> None:
    """Say that somebody listens to these groups, for the next ``LISTENING_S`` seconds."""
    cache.set_many({_key(group): 1 for group in groups}, timeout=LISTENING_S)


def listened_to(groups: Collection[str]) -> set[str]:
    """Return those of the groups that somebody listens to, in one round trip; raises ``RedisError``."""
    by_key = {_key(group): group for group in groups}
    return {by_key[key] for key in cache.get_many(list(by_key))}


def _key(group: str) -> str:
    return f"listening:{group}"

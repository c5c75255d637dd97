"""Paths into JSON values: ``body.items[0].id``.

A path is looked up in objects by key and in lists by index only; what is not there is an error that says
where the path ended, never a silent null.
"""

import re

from pydantic import JsonValue

_PART = re.compile(r"""(?:^|\.)(?P<key>[^.\[\]"]+)|\[(?P<index>-?\d{1,9})\]|\["(?P<quoted>[^"]*)"\]""")


class NoSuchPath(ValueError):
    """A path leads nowhere in a value, or is not a path."""


def look_up(value: JsonValue, path: str) -> JsonValue:
    """Return what ``path`` leads to in ``value``; an empty path is the value. Raises ``NoSuchPath``."""
    position = 0
    here = value
    while position < len(path):
        match = _PART.match(path, position)
        if match is None:
            rest = path[position:]
            raise NoSuchPath(f"'{path}' is no path from '{rest}' on; write it like a.b[0] or a[\"b c\"]")
        here = _step(here, match, path)
        position = match.end()
    return here


def _step(here: JsonValue, match: re.Match[str], path: str) -> JsonValue:
    reached = path[: match.start()] or "the value"
    if match["index"] is not None:
        if not isinstance(here, list):
            raise NoSuchPath(f"{reached} is not a list, so '{path}' leads nowhere")
        try:
            return here[int(match["index"])]
        except IndexError:
            raise NoSuchPath(f"{reached} has {len(here)} items, so '{path}' leads nowhere") from None
    key = match["key"] if match["key"] is not None else match["quoted"]
    if not isinstance(here, dict):
        raise NoSuchPath(f"{reached} is not an object, so '{path}' leads nowhere")
    if key not in here:
        raise NoSuchPath(f"{reached} has no '{key}'")
    return here[key]

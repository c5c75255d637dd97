"""Texts, as tables hold them, to values: strict, so that a wrong cell is told rather than guessed at."""

import re
from datetime import date, datetime
from math import isfinite
from typing import Literal

from pydantic import JsonValue

Kind = Literal["text", "integer", "number", "boolean", "date", "datetime"]

_INTEGER = re.compile(r"[+-]?\d{1,300}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d{1,300}(\.\d{0,300})?|\.\d{1,300})([eE][+-]?\d{1,3})?", re.ASCII)
_TRUTHS: dict[str, bool] = {
    **dict.fromkeys(("true", "yes", "y", "1", "on"), True),
    **dict.fromkeys(("false", "no", "n", "0", "off"), False),
}


def convert(value: JsonValue, kind: Kind) -> JsonValue:
    """Return ``value`` as that kind; an empty text is null. Raises ``ValueError`` saying what it is instead."""
    if kind == "text":
        return value if value is None or isinstance(value, str) else _text(value)
    if isinstance(value, str):
        text = value.strip()
        return None if not text else _converted(text, kind)
    if value is None or (kind == "boolean" and isinstance(value, bool)):
        return value
    if kind in ("integer", "number") and isinstance(value, int | float) and not isinstance(value, bool):
        if kind == "integer" and value != int(value):
            raise ValueError(f"{value} is not a whole number")
        return int(value) if kind == "integer" else value
    raise ValueError(f"{_text(value)[:50]} is no {kind}")


def _converted(text: str, kind: Kind) -> JsonValue:
    match kind:
        case "integer" if _INTEGER.fullmatch(text):
            return int(text)
        case "number" if _NUMBER.fullmatch(text):
            number = int(text) if _INTEGER.fullmatch(text) else float(text)
            if isinstance(number, int) or isfinite(number):
                return number
        case "boolean" if text.lower() in _TRUTHS:
            return _TRUTHS[text.lower()]
        case "date":
            return _iso(lambda: date.fromisoformat(text).isoformat(), text, kind)
        case "datetime":
            return _iso(lambda: datetime.fromisoformat(text).isoformat(), text, kind)
    raise ValueError(f"{text[:50]!r} is no {kind}")


def _iso(read: object, text: str, kind: Kind) -> str:
    try:
        return read()  # type: ignore[operator, no-any-return]
    except ValueError:
        raise ValueError(f"{text[:50]!r} is no {kind}; write it like 2026-03-31") from None


def _text(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise ValueError("a list or an object is no single value")

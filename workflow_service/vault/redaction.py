"""Revealed values are taken out of whatever is written: outputs, errors, log lines, progress, a process's own log.

A value is looked for as it is, and in the forms in which clients and servers write values down (percent-encoded,
escaped in JSON or HTML, hexadecimal, base64 at any alignment, each line of several). A long text that was cut may
begin or end within a value: such a part goes too. What transforms a value in another way (encrypts, reverses, spells
it) is not undone.
"""

import base64
import html
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

from pydantic import JsonValue

MASK = "***"
# Shorter forms are found by chance too often; secrets themselves are at least that long.
LEAST_CHARACTERS = 4
# Of a value with several lines the shorter ones ("-----" of a PEM, braces) say nothing.
LEAST_OF_LINE = 8
CUT_CHARACTERS = 150
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*", re.ASCII)


class Redactor:
    """Takes a set of values out of texts and JSON. Values may be added, by any thread, while it is used."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._forms: tuple[str, ...] = ()
        self._in_urls: tuple[re.Pattern[str], ...] = ()
        self.add(*values)

    def __bool__(self) -> bool:
        return bool(self._forms)

    def add(self, *values: str) -> None:
        """Take these values out too: secrets, or credentials that were made of them."""
        forms = set(self._forms).union(*map(_forms_of, values))
        # The longest first: one may hold another.
        self._forms = tuple(sorted(forms, key=len, reverse=True))
        self._in_urls += tuple(_in_url(value) for value in values if not _UNRESERVED.fullmatch(value))

    def text(self, text: str) -> str:
        """Return ``text`` without the values."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        if "%" in text or "+" in text:
            for pattern in self._in_urls:
                text = pattern.sub(MASK, text)
        return self._without_cut_parts(text) if len(text) >= CUT_CHARACTERS else text

    def json(self, value: JsonValue) -> JsonValue:
        """Return ``value`` without the values, in keys, texts and numbers."""
        match value:
            case str():
                return self.text(value)
            case bool() | None:
                return value
            case int() | float():
                return MASK if self.text(written := json.dumps(value)) != written else value
            case dict():
                return {self.text(key): self.json(member) for key, member in value.items()}
            case list():
                return [self.json(member) for member in value]

    def _without_cut_parts(self, text: str) -> str:
        body = text.removesuffix("…")
        for form in self._forms:
            body = _without_end(_without_start(body, form), form)
        return body + "…" if text.endswith("…") else body


def redact(value: JsonValue, secrets: Mapping[str, str] | Iterable[str]) -> JsonValue:
    """Return ``value`` without the values of ``secrets``, whatever form they are written in."""
    return Redactor(secrets.values() if isinstance(secrets, Mapping) else secrets).json(value)


_revealed: list[Redactor] = []
_lock = threading.Lock()


@contextmanager
def revealed(redactor: Redactor) -> Iterator[None]:
    """Keep the values out of this process's own log too, for as long as they are in use here."""
    with _lock:
        _revealed.append(redactor)
    try:
        yield
    finally:
        with _lock:
            _revealed.remove(redactor)


def redact_log(text: str) -> str:
    """Return a line of the process's log without the values in use."""
    # A copy of one reference, not the lock: whoever logs may hold it.
    for redactor in tuple(_revealed):
        text = redactor.text(text)
    return text


def _forms_of(value: str) -> set[str]:
    lines = [line.strip() for line in value.splitlines()]
    forms = {*_spellings(value), *_spellings(value.strip())}
    if len(lines) > 1:
        forms.update(line for line in lines if len(line) >= LEAST_OF_LINE)
    return {form for form in forms if len(form) >= LEAST_CHARACTERS}


def _spellings(part: str) -> Iterator[str]:
    raw = part.encode()
    yield part
    yield json.dumps(part)[1:-1]
    yield json.dumps(part, ensure_ascii=False)[1:-1]
    yield repr(part)[1:-1]
    yield html.escape(part)
    yield html.escape(part, quote=False)
    yield quote(part)
    yield quote(part, safe="")
    yield quote_plus(part)
    yield raw.hex()
    yield raw.hex().upper()
    yield from _base64_of(raw)


def _in_url(value: str) -> re.Pattern[str]:
    """Return what finds a value in a URL: each client has its own mind about which characters it encodes."""
    pieces = []
    for character in value:
        encoded = quote(character, safe="")
        if _UNRESERVED.fullmatch(character):
            pieces.append(re.escape(character))
        else:
            as_plus = r"|\+" if character == " " else ""
            pieces.append(f"(?:{re.escape(character)}|(?i:{encoded}){as_plus})")
    return re.compile("".join(pieces))


def _base64_of(raw: bytes) -> Iterator[str]:
    """Yield what base64 makes of ``raw`` wherever in a longer text it stands, such as behind a user's name."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
        # The first and the last character also hold bits of what stands beside.
        first = (before * 8 + 5) // 6
        last = (before + len(raw)) * 8 // 6
        # Of a short value so little is left that it would be found everywhere.
        if last - first >= 6:
            yield encoded[first:last]
            yield encoded[first:last].replace("+", "-").replace("/", "_")


def _without_start(text: str, form: str) -> str:
    """Take out a text's beginning where it is the end of ``form``."""
    end = form[-LEAST_CHARACTERS:]
    position = text.rfind(end, 0, len(form))
    while position >= 0:
        length = position + LEAST_CHARACTERS
        if form.endswith(text[:length]):
            return MASK + text[length:]
        position = text.rfind(end, 0, length - 1)
    return text


def _without_end(text: str, form: str) -> str:
    """Take out a text's end where it is the beginning of ``form``."""
    start = form[:LEAST_CHARACTERS]
    position = text.find(start, max(0, len(text) - len(form)))
    while position >= 0:
        if form.startswith(text[position:]):
            return text[:position] + MASK
        position = text.find(start, position + 1)
    return text

"""What is taken out of whatever is written, and in which forms it is found."""

import base64
import html
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_service.vault.redaction import MASK, Redactor, redact, redact_log, revealed

SECRET = 'S3cr&t "p/w"+\\ü\n2'
values = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=12, max_size=60).filter(
    lambda text: text.strip() == text and "*" not in text
)
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": lambda value: json.dumps({"token": value}),
    "json-utf8": lambda value: json.dumps({"token": value}, ensure_ascii=False),
    "repr": repr,
    "html": html.escape,
    "percent": lambda value: quote(value, safe=""),
    "percent-path": quote,
    "percent-lower": lambda value: re.sub("%..", lambda escape: escape[0].lower(), quote(value, safe="")),
    "percent-some": lambda value: quote(value, safe="/+&:"),
    "form": quote_plus,
    "hex": lambda value: value.encode().hex(),
    "basic": lambda value: base64.b64encode(f"user:{value}".encode()).decode(),
    "basic-2": lambda value: base64.b64encode(f"us:{value}:more".encode()).decode(),
    "basic-3": lambda value: base64.b64encode(f"u:{value}".encode()).decode(),
    "base64-url": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_value_is_found_in_the_forms_of_the_field(form: str) -> None:
    written = FORMS[form](SECRET)
    redacted = Redactor([SECRET]).text(f"before {written} behind")
    assert MASK in redacted
    for encoded in (
        SECRET,
        quote(SECRET),
        SECRET.encode().hex(),
        base64.b64encode(SECRET.encode()).decode()[4:-6],
    ):
        assert encoded not in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(" behind")


@given(values, st.sampled_from(sorted(FORMS)), st.text(max_size=20), st.text(max_size=20))
def test_any_value_is_found_in_any_form(value: str, form: str, before: str, behind: str) -> None:
    written = FORMS[form](value)
    assert written not in Redactor([value]).text(before + written + behind)


def test_json_is_cleaned_in_keys_texts_and_numbers() -> None:
    value: dict[str, Any] = {"a": ["x-4711-y", 4711, 47112.5, True, None, {"4711": "z"}], "n": 17}
    assert redact(value, {"PIN": "4711"}) == {"a": ["x-***-y", MASK, MASK, True, None, {MASK: "z"}], "n": 17}


def test_the_lines_of_a_value_are_taken_out_one_by_one() -> None:
    key = "-----BEGIN KEY-----\nMIIabcdefgh\nXYZ12345678\n-----END KEY-----\n"
    assert Redactor([key]).text("INFO: XYZ12345678") == f"INFO: {MASK}"


@pytest.mark.parametrize("length", range(4, 12))
def test_a_part_left_by_a_cut_goes_too(length: int) -> None:
    secret, filling = "abcdefghijklmnop", "." * 300
    redactor = Redactor([secret])
    assert redactor.text(filling + secret[:length]) == filling + MASK
    assert redactor.text(filling + secret[:length] + "…") == filling + MASK + "…"
    assert redactor.text(secret[-length:] + filling) == MASK + filling


def test_a_large_value_costs_little() -> None:
    secret = "".join(chr(97 + index * 7 % 26) for index in range(60_000))
    redactor = Redactor([secret])
    for _ in range(20):
        assert redactor.text("a" * 5_000) == "a" * 5_000


def test_the_processs_log_is_cleaned_while_values_are_in_use() -> None:
    redactor = Redactor()
    with revealed(redactor):
        assert redact_log("token=abcdefgh") == "token=abcdefgh"
        redactor.add("abcdefgh")
        assert redact_log("token=abcdefgh") == f"token={MASK}"
    assert redact_log("token=abcdefgh") == "token=abcdefgh"

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_service.engine.json_values import JsonUnfit, check_json, json_pointer, load_json, storable_text

LIMIT = 100_000

storable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | storable,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(storable, inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_what_json_writes_is_read_back(value: Any) -> None:
    assert load_json(json.dumps(value), max_bytes=LIMIT) == value
    assert load_json(json.dumps(value, ensure_ascii=False).encode(), max_bytes=LIMIT) == value
    check_json(value, max_bytes=LIMIT)


@given(
    st.text(max_size=200)
    | st.text(alphabet='[]{}",:\\u0 1eE-.nNaIinfty', max_size=60)
    | st.binary(max_size=100)
)
def test_any_other_input_is_refused_by_one_error(document: str | bytes) -> None:
    try:
        value = load_json(document, max_bytes=LIMIT)
    except JsonUnfit:
        return
    check_json(value, max_bytes=LIMIT * 6)
    json.dumps(value, allow_nan=False).encode()


@given(st.integers(1, 12), st.integers(1, 12))
def test_depth_counts_open_brackets(depth: int, allowed: int) -> None:
    document = '[{"[[[":' * (depth // 2) + "[" * (depth % 2) + "1" + "]" * (depth % 2) + "}]" * (depth // 2)
    value = json.loads(document)
    if depth <= allowed:
        assert load_json(document, max_bytes=LIMIT, max_depth=allowed) == value
        check_json(value, max_bytes=LIMIT, max_depth=allowed)
    else:
        for attempt in (load_json, check_json):
            with pytest.raises(JsonUnfit) as caught:
                attempt(document if attempt is load_json else value, max_bytes=LIMIT, max_depth=allowed)
            assert caught.value.kind == "JSON_TOO_DEEP"


@pytest.mark.parametrize("depth", [5_000, 1_000_000])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_a_tower_of_brackets_is_refused_before_parsing(depth: int, brackets: str) -> None:
    opening, closing = brackets[:-1], brackets[-1]
    with pytest.raises(JsonUnfit) as caught:
        load_json(opening * depth + "1" + closing * depth, max_bytes=10 * depth)
    assert caught.value.kind == "JSON_TOO_DEEP"


def test_brackets_in_strings_open_nothing() -> None:
    text = '["' + '\\"[{' * 1_000 + '"]'
    assert load_json(text, max_bytes=LIMIT) == ['"[{' * 1_000]


def test_the_scan_for_brackets_is_linear() -> None:
    started = time.process_time()
    with pytest.raises(JsonUnfit):
        load_json("[" * 101 + '"' + '\\"' * 1_000_000, max_bytes=10_000_000)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("document", "kind", "said"),
    [
        ("NaN", "JSON_SYNTAX", "NaN"),
        ("[Infinity]", "JSON_SYNTAX", "Infinity"),
        ('{"a":-Infinity}', "JSON_SYNTAX", "-Infinity"),
        ("1e999", "JSON_VALUE", "inf"),
        ('{"a":1,"a":2}', "JSON_SYNTAX", "'a' is given twice"),
        ('{"a":"\\u0000"}', "JSON_VALUE", "U+0000"),
        ('{"\\u0000":1}', "JSON_VALUE", "U+0000"),
        ('["\\ud800"]', "JSON_VALUE", "surrogate"),
        (b'"\xff"', "JSON_SYNTAX", "UTF-8"),
        ("\ufeff{}", "JSON_SYNTAX", "BOM"),
        ("", "JSON_SYNTAX", "JSON"),
        ("{} {}", "JSON_SYNTAX", "Extra data"),
        ("1" * 5_000, "JSON_SYNTAX", "digits"),
        ('"' + "x" * LIMIT + '"', "JSON_TOO_LARGE", "larger"),
        ('"' + "ä" * (LIMIT // 2) + '"', "JSON_TOO_LARGE", "larger"),
    ],
)
def test_what_cannot_be_kept_is_named(document: str | bytes, kind: str, said: str) -> None:
    with pytest.raises(JsonUnfit) as caught:
        load_json(document, max_bytes=LIMIT)
    assert caught.value.kind == kind
    assert said in caught.value.message
    assert caught.value.problems[0].message == caught.value.reason


def test_a_syntax_error_has_its_line_and_column() -> None:
    with pytest.raises(JsonUnfit) as caught:
        load_json('{\n  "a": 1,\n  b: 2\n}', max_bytes=LIMIT)
    assert (caught.value.problems[0].line, caught.value.problems[0].column) == (3, 3)


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"a": [1, float("nan")]}, "/a/1"),
        ({"a/b": {"c~": float("-inf")}}, "/a~1b/c~0"),
        ([{"x": {1, 2}}], "/0/x"),
        ({"a": (1, 2)}, "/a"),
        ({"a": b"x"}, "/a"),
        ({"a": {1: 2}}, "/a"),
        ([[], ["ok", "\x00"]], "/1/1"),
        ({"t": ["\udc00"]}, "/t/0"),
    ],
)
def test_the_place_of_an_unfit_value_is_told(value: object, pointer: str) -> None:
    with pytest.raises(JsonUnfit) as caught:
        check_json(value, max_bytes=LIMIT)
    assert caught.value.pointer == pointer


def test_a_value_that_holds_itself_is_too_deep() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(JsonUnfit) as caught:
        check_json(loop, max_bytes=LIMIT)
    assert caught.value.kind == "JSON_TOO_DEEP"


def test_a_value_that_would_be_written_without_end_is_too_large() -> None:
    bomb: list[object] = []
    for _ in range(50):
        bomb = [bomb] * 10
    with pytest.raises(JsonUnfit) as caught:
        check_json(bomb, max_bytes=LIMIT)
    assert caught.value.kind == "JSON_TOO_LARGE"


@given(json_values, st.integers(1, 200))
def test_size_is_that_of_compact_utf8(value: Any, limit: int) -> None:
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    if size <= limit:
        check_json(value, max_bytes=limit)
    else:
        with pytest.raises(JsonUnfit) as caught:
            check_json(value, max_bytes=limit)
        assert caught.value.kind == "JSON_TOO_LARGE"


def test_pointers_escape() -> None:
    assert json_pointer("a/b", 0, "~") == "/a~1b/0/~0"
    assert json_pointer() == ""


@given(st.text(max_size=50), st.integers(1, 30))
def test_stored_text_can_be_stored(text: str, limit: int) -> None:
    stored = storable_text(text, limit)
    assert len(stored) <= limit
    assert "\x00" not in stored
    stored.encode()

"""Addresses with what no name can hold: answered as unknown, by every path of the API."""

from collections.abc import Iterator

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.converters import StringConverter

from tests.house import House

pytestmark = pytest.mark.django_db


def paths_with_names(patterns: object = None, before: str = "") -> Iterator[str]:
    """Yield every address of the API that has a text in it, with NUL for each text and 1 for each number."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:  # type: ignore[attr-defined]
        assert isinstance(pattern, URLPattern | URLResolver)
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            if "api/v1/".startswith(route) or route.startswith("api/v1/"):
                yield from paths_with_names(pattern.url_patterns, route)
            continue
        converters = pattern.pattern.converters
        if any(type(one) is StringConverter for one in converters.values()):
            for name, one in converters.items():
                kind = "str" if type(one) is StringConverter else "int"
                filled = "a%00b" if kind == "str" else "1"
                route = route.replace(f"<{kind}:{name}>", filled).replace(f"<{name}>", filled)
            yield route.replace("\\Z", "").removeprefix("api/v1/")


def test_a_name_with_nul_is_unknown_everywhere(house: House) -> None:
    caller = house.caller()
    paths = sorted(set(paths_with_names()))
    assert len(paths) > 10
    answered = {
        (method, path): getattr(caller, method)(path, *([{}] if method == "post" else [])).status_code
        for path in paths
        for method in ("get", "post", "delete")
    }
    assert {call: status for call, status in answered.items() if status >= 500} == {}

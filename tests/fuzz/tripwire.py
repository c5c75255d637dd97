"""Values that tell when anybody looks at their attributes: an expression must never get that far."""

from collections.abc import Mapping
from typing import Any

from workflow_service.engine.scope import ValuesScope

ALLOWED = frozenset({"__class__"})


class AttributeTouched(BaseException):
    """An attribute of a value was asked for; no ``except Exception`` hides it."""


class Trap:
    """A value of no JSON type. Every attribute is a tripwire, but for the class that ``isinstance`` asks for."""

    def __getattribute__(self, name: str) -> Any:
        if name in ALLOWED:
            return Trap
        raise AttributeTouched(name)

    def __getattr__(self, name: str) -> Any:
        raise AttributeTouched(name)


class TrapText(str):
    """A text whose methods may be called by the language's functions, and nothing else of it may be touched."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if name in ("lower", "upper", "startswith", "endswith", "__class__"):
            return str.__getattribute__(self, name)
        raise AttributeTouched(name)


class TrapDict(dict[str, Any]):
    """An object that may be looked into by its keys alone."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return TrapDict
        raise AttributeTouched(name)


def trapped_scope() -> ValuesScope:
    """Return a scope full of tripwires and of plain values."""
    values: Mapping[str, Any] = {
        "x": 3, "y": {"a": 1, "b": {"id": "z", "x": [1, 2, 3]}}, "n": 2.5, "items": [{"price": 5, "a": [True]}, 1],
        "name": "Abc", "tags": ["q", "a"], "output": {"total": 1}, "input": None, "context": [], "index": 0,
        "trap": Trap(), "item": TrapDict(a=1, total=TrapText("t")), "flags": [True, False], "a": True, "b": False,
    }  # fmt: skip
    outputs = {"check": TrapDict(total=4), "a": {"x": Trap()}}
    return ValuesScope(
        values, {"own": Trap()}, outputs, TrapDict(a=Trap(), total=1), {"id": "exec_1"}, {"TOKEN": "t"}
    )

"""What conditions may do with values: the operators and the fixed table of functions.

Every function here is pure and total over JSON values: it answers with a JSON value or raises ``Refused``
saying why in words. Nothing is coerced: a number is not a text and 0 is not False. Results are bounded in
size, so no expression can make a value that is much larger than what it was given.
"""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_NUMBER_BITS = 1_024
MAX_TEXT_LENGTH = 1_000_000
MAX_LIST_LENGTH = 100_000

_NUMBERS = frozenset({int, float})


class Refused(Exception):
    """An operation is not defined on the values it was given."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion


def kind_of(value: Any) -> str:
    """Return what ``value`` is, as words that fit behind "is"."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a true/false value"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, list | tuple):
        return "a list"
    return "an object" if isinstance(value, Mapping) else "of an unknown kind"


def is_number(value: Any) -> bool:
    """Tell whether ``value`` is a number; True and False are not."""
    return type(value) in _NUMBERS


def bounded_number(value: Any) -> Any:
    """Return ``value`` if it is finite and of a sane size; raises ``Refused``."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Refused("the result is not a finite number")
    elif value.bit_length() > MAX_NUMBER_BITS:
        raise Refused("the number is too large")
    return value


def _bounded_text(value: str) -> str:
    if len(value) > MAX_TEXT_LENGTH:
        raise Refused(f"the text would be longer than {MAX_TEXT_LENGTH:,} characters")
    return value


def add(left: Any, right: Any) -> Any:
    """Add two numbers, or join two texts or two lists."""
    if is_number(left) and is_number(right):
        return _arithmetic(operator.add, left, right)
    if isinstance(left, str) and isinstance(right, str):
        return _bounded_text(left + right)
    if isinstance(left, list) and isinstance(right, list):
        if len(left) + len(right) > MAX_LIST_LENGTH:
            raise Refused(f"the list would be longer than {MAX_LIST_LENGTH:,} items")
        return left + right
    raise Refused(f"cannot add {kind_of(left)} and {kind_of(right)}")


def _arithmetic(operation: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    try:
        return bounded_number(operation(left, right))
    except ZeroDivisionError:
        raise Refused("cannot divide by zero") from None
    except OverflowError:
        raise Refused("the number is too large") from None


def _on_numbers(verb: str, operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def apply(left: Any, right: Any) -> Any:
        if is_number(left) and is_number(right):
            return _arithmetic(operation, left, right)
        raise Refused(f"cannot {verb} {kind_of(left)} and {kind_of(right)}; both must be numbers")

    return apply


subtract = _on_numbers("subtract", operator.sub)
multiply = _on_numbers("multiply", operator.mul)
divide = _on_numbers("divide", operator.truediv)
remainder = _on_numbers("take the remainder of", operator.mod)


def negate(value: Any) -> Any:
    """Return the negative of a number."""
    if is_number(value):
        return -value
    raise Refused(f"cannot negate {kind_of(value)}")


def plus(value: Any) -> Any:
    """Return a number as it is."""
    if is_number(value):
        return value
    raise Refused(f"cannot put + before {kind_of(value)}")


def _ordering(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def compare(left: Any, right: Any) -> Any:
        if (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
            return operation(left, right)
        raise Refused(
            f"cannot compare {kind_of(left)} with {kind_of(right)}",
            "compare numbers with numbers and texts with texts",
        )

    return compare


less = _ordering(operator.lt)
less_or_equal = _ordering(operator.le)
greater = _ordering(operator.gt)
greater_or_equal = _ordering(operator.ge)


def contains(container: Any, item: Any) -> bool:
    """Tell whether a list holds ``item``, a text holds it as a part, or an object has it as a key."""
    if isinstance(container, list):
        return item in container
    if isinstance(container, str | Mapping):
        if not isinstance(item, str):
            raise Refused(f"cannot look for {kind_of(item)} in {kind_of(container)}; only for a text")
        return item in container
    raise Refused(f"cannot look into {kind_of(container)}; only into a list, a text or an object")


def is_in(item: Any, container: Any) -> bool:
    """``contains`` with its operands in the order of ``in``."""
    return contains(container, item)


def is_not_in(item: Any, container: Any) -> bool:
    """The opposite of ``is_in``."""
    return not contains(container, item)


def look_up(value: Any, key: Any) -> Any:
    """Return one entry of an object (by text) or of a list (by whole number).

    Raises ``LookupError`` where there is no such entry, or no value to look into; ``Refused`` where ``value``
    or ``key`` is of the wrong kind.
    """
    if isinstance(value, Mapping):
        if isinstance(key, str):
            return value[key]
        raise Refused(f"the key of an object is a text, not {kind_of(key)}")
    if isinstance(value, list):
        if type(key) is int:
            return value[key]
        raise Refused(f"the entries of a list are found by number, as in [0], not by {kind_of(key)}")
    if value is None:
        raise LookupError(key)
    raise Refused(f"cannot look into {kind_of(value)}, only into an object or a list")


def _text(value: Any, function: str) -> str:
    if isinstance(value, str):
        return value
    raise Refused(f"{function}() needs a text, not {kind_of(value)}")


def _list(value: Any, function: str) -> list[Any]:
    if isinstance(value, list):
        return value
    raise Refused(f"{function}() needs a list, not {kind_of(value)}")


def _len(value: Any) -> int:
    if isinstance(value, str | list | Mapping):
        return len(value)
    raise Refused(f"len() needs a text, a list or an object, not {kind_of(value)}")


def _extreme(name: str, choose: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    def pick(*values: Any) -> Any:
        items = _list(values[0], name) if len(values) == 1 else list(values)
        if not items:
            raise Refused(
                f"{name}() of an empty list has no value", "write default() around it or test len()"
            )
        if all(is_number(item) for item in items) or all(isinstance(item, str) for item in items):
            return choose(items)
        raise Refused(f"{name}() needs numbers only or texts only")

    return pick


def _sum(value: Any) -> Any:
    items = _list(value, "sum")
    for item in items:
        if not is_number(item):
            raise Refused(f"sum() needs a list of numbers, and one entry is {kind_of(item)}")
    return _arithmetic(lambda numbers, start: sum(numbers, start), items, 0)


def _truths(name: str, judge: Callable[[list[Any]], bool]) -> Callable[[Any], bool]:
    def apply(value: Any) -> bool:
        items = _list(value, name)
        for item in items:
            if not isinstance(item, bool):
                raise Refused(f"{name}() needs a list of true and false, and one entry is {kind_of(item)}")
        return judge(items)

    return apply


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the table, with how many arguments it takes."""

    apply: Callable[..., Any]
    least: int
    most: int


_MANY = 100

FUNCTIONS: Mapping[str, Function] = {
    "len": Function(_len, 1, 1),
    "lower": Function(lambda text: _bounded_text(_text(text, "lower").lower()), 1, 1),
    "upper": Function(lambda text: _bounded_text(_text(text, "upper").upper()), 1, 1),
    "startswith": Function(
        lambda text, start: _text(text, "startswith").startswith(_text(start, "startswith")), 2, 2
    ),
    "endswith": Function(lambda text, end: _text(text, "endswith").endswith(_text(end, "endswith")), 2, 2),
    "contains": Function(contains, 2, 2),
    "min": Function(_extreme("min", min), 1, _MANY),
    "max": Function(_extreme("max", max), 1, _MANY),
    "sum": Function(_sum, 1, 1),
    "any": Function(_truths("any", any), 1, 1),
    "all": Function(_truths("all", all), 1, 1),
}

"""Feeds generated texts to the languages, and notes crashes, hangs and attributes that were touched.

Time is CPU time of this thread, so that a busy machine makes no hang. An item that is over the limit is tried again:
only what is slow again is a hang, as the first time may have paid for the garbage collector. Warnings are faults too.
"""

import gc
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.fuzz.texts import Author
from tests.fuzz.tripwire import AttributeTouched, trapped_scope
from workflow_service.engine.definition import Definition
from workflow_service.engine.dsl import parse_dsl, render_dsl, states_of
from workflow_service.engine.errors import ExpressionError, InvalidDefinition
from workflow_service.engine.expressions import compile_condition, compile_expression
from workflow_service.engine.findings import errors_in
from workflow_service.engine.interpolation import compile_template
from workflow_service.engine.partial import read_dsl
from workflow_service.engine.paths import reads_of
from workflow_service.engine.states import ToolType
from workflow_service.engine.validation import validate

LIMIT_MS = 50.0
MOST_FAULTS = 100


@dataclass(slots=True)
class Report:
    """What came of a fuzz run; times are CPU milliseconds."""

    what: str
    items: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    max_ms: float = 0.0
    total_ms: float = 0.0
    slowest: str = ""

    def summary(self) -> str:
        shown = ", ".join(f"{name} {count}" for name, count in self.outcomes.most_common())
        return f"{self.items} items, {len(self.faults)} faults, slowest {self.max_ms:.1f} ms CPU; {shown}"

    def figures(self) -> dict[str, Any]:
        return {
            "items": self.items,
            "faults": self.faults,
            "maxCpuMs": round(self.max_ms, 3),
            "meanCpuMs": round(self.total_ms / max(1, self.items), 4),
            "slowest": self.slowest[:500],
            "outcomes": dict(self.outcomes),
        }


def fuzz_expressions(count: int, seed: int) -> Report:
    """Compile ``count`` generated texts as expression, as condition and as ``${…}``, and evaluate what compiles."""
    author, scope = Author(seed), trapped_scope()

    def try_one(text: str) -> str:
        outcome = "evaluated"
        try:
            compiled = compile_expression(text)
            reads_of(compiled)
        except ExpressionError:
            outcome = "refused"
        else:
            try:
                compiled.evaluate(scope)
            except ExpressionError:
                outcome = "failed on the values"
        for compile_text in (compile_condition, lambda text: compile_template(f"a ${{{text}}} b")):
            with suppress(ExpressionError):
                compile_text(text)
        return outcome

    return _fuzz("expressions", count, author.expression, try_one)


def fuzz_dsl(count: int, seed: int) -> Report:
    """Parse ``count`` generated texts; validate what parses, write it out and read it again."""
    author = Author(seed)

    def try_one(text: str) -> str:
        read_dsl(text)
        try:
            definition = parse_dsl(text)
        except InvalidDefinition:
            return "refused"
        blocks = tuple(block.model_copy(update={"tool_type": ToolType.NOOP}) for block in definition.blocks)
        errors = errors_in(validate(definition.model_copy(update={"blocks": blocks})))
        _expect_same(definition)
        return "has errors" if errors else "valid"

    return _fuzz("texts", count, author.dsl, try_one)


def _expect_same(definition: Definition) -> None:
    again = parse_dsl(render_dsl(definition), states_of(definition))
    if again != definition:
        raise AssertionError("the text written out reads as another definition")


def _fuzz(what: str, count: int, write: Callable[[], str], try_one: Callable[[str], str]) -> Report:
    report = Report(what)
    gc.collect()
    gc.freeze()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for number in range(count):
                _try(report, number, write(), try_one)
                if len(report.faults) >= MOST_FAULTS:
                    break
    finally:
        gc.unfreeze()
    return report


def _try(report: Report, number: int, text: str, try_one: Callable[[str], str]) -> None:
    report.items += 1
    try:
        spent_ms = _cpu_ms(text, try_one, report.outcomes)
        if spent_ms > LIMIT_MS:
            spent_ms = min(spent_ms, _cpu_ms(text, try_one, Counter()))
    except AttributeTouched as touched:
        report.faults.append(f"item {number}: the attribute {touched} was touched by {text!r:.500}")
        return
    except Exception as error:
        report.faults.append(f"item {number}: {type(error).__name__}: {error}: {text!r:.500}")
        return
    report.total_ms += spent_ms
    if spent_ms > report.max_ms:
        report.max_ms, report.slowest = spent_ms, text
    if spent_ms > LIMIT_MS:
        report.faults.append(f"item {number}: took {spent_ms:.1f} ms: {text!r:.500}")


def _cpu_ms(text: str, try_one: Callable[[str], str], outcomes: Counter[str]) -> float:
    began = time.thread_time()
    outcome = try_one(text)
    spent = time.thread_time() - began
    outcomes[outcome] += 1
    return spent * 1_000

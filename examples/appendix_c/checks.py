"""The checks of a revision of a price formula: lint, unit and integration tests, a search for leaked secrets.

The code under test is one expression in the service's own language, so it can be run without being able to do
anything but calculate.
"""

import json
import re
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, JsonValue

from examples.appendix_c.store import Connection, Result, once
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.engine.errors import WorkflowError
from workflow_service.engine.expressions import ValuesScope, compile_expression

MAX_FORMULA = 200
TOLERANCE = 0.005
LEAKS = (
    (re.compile(r"AKIA[0-9A-Z]{16}"), "an access key"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"), "a private key"),
    (re.compile(r"\bsecrets\b"), "a reference to the service's secrets"),
    (re.compile(r"(?i)\b(password|token)\b"), "a password or token"),
)


class Values(BaseModel):
    """Snake case, as the workflow's conditions read it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Pipeline(Values):
    repository: str
    revision: str


class Source(Pipeline):
    """A revision: the formula and the names it may read."""

    formula: str
    names: list[str]


class Case(Values):
    """One test: the values that the formula reads, and what it must give."""

    values: dict[str, JsonValue]
    expected: float


class UnitTests(Values):
    formula: str
    cases: list[Case]


class PricedCase(Values):
    """One integration test: the price comes from the catalogue, in cents."""

    sku: str
    values: dict[str, JsonValue]
    expected: float


class IntegrationTests(Values):
    formula: str
    cases: list[PricedCase]


class Quality(Values):
    quality_pass: bool
    quality_problems: list[str]


class UnitResult(Values):
    unit_tests_pass: bool
    unit_failures: list[str]


class IntegrationResult(Values):
    integration_tests_pass: bool
    integration_failures: list[str]


class ScanResult(Values):
    security_scan_pass: bool
    security_findings: list[str]


@use_case("delivery.check_quality")
def check_quality(source: Source) -> Quality:
    """Lint the formula: it compiles, is short, and reads exactly the names it declares."""
    problems = []
    if len(source.formula) > MAX_FORMULA:
        problems.append(f"the formula is longer than {MAX_FORMULA} characters")
    try:
        read = compile_expression(source.formula).references.context
    except WorkflowError as error:
        problems.append(error.message)
    else:
        problems += [f"{name} is read but not declared" for name in sorted(read.difference(source.names))]
        problems += [f"{name} is declared but never read" for name in source.names if name not in read]
    return Quality(quality_pass=not problems, quality_problems=problems)


@use_case("delivery.run_unit_tests")
def run_unit_tests(tests: UnitTests) -> UnitResult:
    """Run the formula on each case's values."""
    failures = find_failures(tests.formula, ((case.values, case.expected) for case in tests.cases))
    return UnitResult(unit_tests_pass=not failures, unit_failures=failures)


@use_case("delivery.run_integration_tests")
def run_integration_tests(tests: IntegrationTests, run: RunContext) -> IntegrationResult:
    """Run the formula on prices that stand in the catalogue."""

    def work(connection: Connection) -> Result:
        prices: dict[str, int] = dict(connection.execute("SELECT sku, price_cents FROM stock").fetchall())
        unknown = [f"{case.sku} is not in the catalogue" for case in tests.cases if case.sku not in prices]
        known = [case for case in tests.cases if case.sku in prices]
        cases = (({**case.values, "price": prices[case.sku] / 100}, case.expected) for case in known)
        failures = unknown + find_failures(tests.formula, cases)
        return {"integration_tests_pass": not failures, "integration_failures": failures}

    return IntegrationResult(**once(run, work))


def find_failures(formula: str, cases: Iterable[tuple[Mapping[str, JsonValue], float]]) -> list[str]:
    """Return one line for each case that the formula gets wrong, or cannot calculate."""
    failures = []
    expression = compile_expression(formula)
    for values, expected in cases:
        try:
            found = expression.evaluate(ValuesScope(own=dict(values)))
        except WorkflowError as error:
            failures.append(error.message)
            continue
        right = isinstance(found, int | float) and abs(found - expected) <= TOLERANCE
        if not right:
            failures.append(f"{json.dumps(dict(values))} gives {found}, not {expected}")
    return failures


@use_case("delivery.scan_security")
def scan_security(source: Source) -> ScanResult:
    """Look for secrets that were committed with the formula."""
    findings = [f"the formula holds {what}" for pattern, what in LEAKS if pattern.search(source.formula)]
    return ScanResult(security_scan_pass=not findings, security_findings=findings)

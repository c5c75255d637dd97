"""The languages under fire, in short; ``make fuzz`` does the same with a million expressions."""

import pytest

from tests.fuzz.run import fuzz_dsl, fuzz_expressions
from tests.fuzz.tripwire import AttributeTouched, Trap, TrapDict, TrapText

SEED = 20_261


def test_no_expression_crashes_hangs_or_touches_an_attribute() -> None:
    report = fuzz_expressions(3_000, SEED)
    assert report.faults == []
    assert min(report.outcomes[name] for name in ("evaluated", "refused", "failed on the values")) > 200


def test_no_text_of_the_dsl_crashes_or_hangs() -> None:
    report = fuzz_dsl(400, SEED)
    assert report.faults == []
    assert min(report.outcomes[name] for name in ("valid", "has errors", "refused")) > 3


@pytest.mark.parametrize(
    ("kind", "name"), [(Trap, "__dict__"), (Trap, "x"), (TrapDict, "keys"), (TrapText, "format")]
)
def test_the_tripwires_work(kind: type, name: str) -> None:
    with pytest.raises(AttributeTouched):
        getattr(kind(), name)

"""The fault matrix is what it is said to be: many kinds, by every agent, and a third of them not to be recovered."""

from collections import Counter

import pytest

from tests.chaos.fault_matrix.judge import Outcome, figures_of, table
from tests.chaos.fault_matrix.rows import Row, read_rows
from tests.chaos.fault_matrix.wire import _Handler
from workflow_service.engine.states import RecoveryStrategy

ROWS = read_rows()
# Brought about by what the block is, or by nobody being there.
BY_THE_BLOCK = {
    "refuse", "no_host", "inside", "no_url", "unknown", "budget", "disabled", "missing",
}  # fmt: skip


def test_it_covers_what_it_should() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)
    assert len({row.kind for row in ROWS}) >= 20
    assert set(Counter(row.agent for row in ROWS)) == {"API", "SCRIPT", "USE_CASE", "MCP", "LLM", "REMOTE"}
    assert sum(not row.automatic for row in ROWS) >= 0.3 * len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_makes_sense(row: Row) -> None:
    assert set(row.right) <= {strategy.value for strategy in RecoveryStrategy}
    assert row.ends in ("completed", "asked", "failed")
    assert row.automatic == (row.ends == "completed")
    assert row.work in ("read", "write", "delete")
    if row.agent not in ("SCRIPT",) and row.fault not in BY_THE_BLOCK:
        assert hasattr(_Handler, f"do_{row.fault}"), "the wire does not know it"


def outcome(row: Row, ended: str, *actions: str, effects: int = 0, gap_s: float | None = None) -> Outcome:
    return Outcome(row, "ladder", ended, actions, True, effects, gap_s, 1.0 if actions else None)


def row_of(identity: str) -> Row:
    return next(row for row in ROWS if row.id == identity)


@pytest.mark.parametrize(
    ("identity", "ended", "actions", "seen", "wrong"),
    [
        ("api-500", "completed", ["retry"], {}, ""),
        ("api-500", "completed", ["skip"], {}, "took 'skip'"),
        ("api-500", "failed", ["retry", "abort"], {}, ""),
        ("api-401", "completed", [], {}, "went on without a person"),
        ("api-lost-answer", "asked", ["escalate"], {"effects": 2}, "did the work 2 times"),
        ("api-429-payment", "completed", ["retry"], {"effects": 0}, "completed without the work"),
        ("api-429-payment", "completed", ["retry"], {"effects": 1}, ""),
        ("api-429-later", "completed", ["retry"], {"gap_s": 0.4}, "came back after 0.4 s"),
        ("api-429-later", "completed", ["retry"], {"gap_s": 2.0}, ""),
    ],
)
def test_what_is_wrong_is_seen(identity: str, ended: str, actions: list[str], seen: dict, wrong: str) -> None:  # type: ignore[type-arg]
    found = outcome(row_of(identity), ended, *actions, **seen)
    assert "; ".join(found.wrongs) == wrong


def test_figures_count_what_was_recovered_among_what_can_be() -> None:
    some = [
        outcome(row_of("api-500"), "completed", "retry"),
        outcome(row_of("api-reset"), "failed", "retry", "abort"),
        outcome(row_of("api-half"), "completed", "skip"),
        outcome(row_of("api-401"), "failed", "abort"),
    ]
    figures = figures_of(some)
    assert (figures.rows, figures.recoverable, figures.recovered, figures.recovery_rate) == (4, 3, 1, 33.3)
    assert (figures.wrong, figures.wrong_action_rate, figures.ended_otherwise) == (1, 25.0, 1)
    assert "**wrong**: took 'skip'" in table(some)

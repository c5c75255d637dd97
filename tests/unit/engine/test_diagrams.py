"""The state diagrams in the documentation say what the tables say."""

from pathlib import Path

import pytest

from workflow_service.engine.diagrams import state_diagram, states_page
from workflow_service.engine.errors import IllegalTransition
from workflow_service.engine.states import (
    BLOCK_TRANSITIONS,
    ENDED_EXECUTION_STATUSES,
    EXECUTION_TRANSITIONS,
    BlockStatus,
    ExecutionStatus,
    require_transition,
)

PAGE = Path(__file__).parents[3] / "docs" / "states.md"


def test_the_page_is_not_stale() -> None:
    renewed = states_page()
    assert PAGE.read_text() == renewed, "run: python -m workflow_service.engine.diagrams > docs/states.md"


def test_every_pair_of_the_table_is_an_arrow_and_no_other() -> None:
    diagram = state_diagram(
        EXECUTION_TRANSITIONS, initial=ExecutionStatus.STARTING, final=ENDED_EXECUTION_STATUSES
    )
    arrows = {tuple(line.split(" --> ")) for line in map(str.strip, diagram.splitlines()) if " --> " in line}
    listed = {(str(old), str(new)) for old, news in EXECUTION_TRANSITIONS.items() for new in news}
    ends = {(str(status), "[*]") for status in ENDED_EXECUTION_STATUSES}
    assert arrows == listed | ends | {("[*]", "STARTING")}


def test_the_tables_list_every_status() -> None:
    assert set(BLOCK_TRANSITIONS) == set(BlockStatus)
    assert set(EXECUTION_TRANSITIONS) == set(ExecutionStatus)


def test_a_pair_that_is_not_listed_is_refused() -> None:
    require_transition(BLOCK_TRANSITIONS, BlockStatus.QUEUED, BlockStatus.RUNNING)
    with pytest.raises(IllegalTransition, match="SKIPPED cannot become RUNNING"):
        require_transition(BLOCK_TRANSITIONS, BlockStatus.SKIPPED, BlockStatus.RUNNING)

"""Every template of the library is whole: read without fault, valid without warning, explained way by way."""

from collections.abc import Callable
from pathlib import Path

import pytest

from templates_app.errors import LibraryTemplateNotFound
from templates_app.library.catalog import (
    LibraryTemplate,
    get_library_template,
    library,
    library_categories,
    search_library,
)
from templates_app.services.known_work import known_outputs
from templates_app.services.validation import validate_definition
from workflow_service.engine.definition import Definition
from workflow_service.engine.dry_run import DryRunStatus, coverage, dry_run_branches
from workflow_service.engine.dsl import parse_dsl, render_dsl, states_of
from workflow_service.engine.findings import Severity
from workflow_service.engine.plan import compile_plan
from workflow_service.engine.states import ToolType

ALL = list(library().values())
FEATURES: dict[str, Callable[[Definition], bool]] = {
    "approval": lambda definition: any(block.asks_people for block in definition.blocks),
    "map": lambda definition: any(block.for_each is not None for block in definition.blocks),
    "loop": lambda definition: any(block.max_rounds is not None for block in definition.blocks),
    "compensation": lambda definition: any(
        block.recovery is not None and block.recovery.compensate is not None for block in definition.blocks
    ),
    "script": lambda definition: any(block.tool_type is ToolType.SCRIPT for block in definition.blocks),
}

each = pytest.mark.parametrize("one", ALL, ids=lambda one: one.slug)


def ways_out(definition: Definition) -> set[tuple[str, str]]:
    """Return every way that some condition decides about."""
    owners = [(block.block_id, block.conditions.branches) for block in definition.blocks]
    owners += [(gate.name, gate.branches) for gate in definition.gates]
    return {(name, to) for name, branches in owners for branch in branches for to in branch.next_blocks}


def test_there_are_fifteen_and_they_show_what_the_service_can_do() -> None:
    assert len(ALL) >= 15
    assert {name for one in ALL for name in one.about.shows} >= {*FEATURES, "parallel", "artifacts", "input"}
    assert len(library_categories()) >= 8


@each
def test_a_template_is_worth_looking_at(one: LibraryTemplate) -> None:
    definition = one.definition
    assert len(definition.blocks) >= 6
    assert any(block.conditions.branches for block in definition.blocks)
    assert {"approval", "loop", "map", "compensation"} & {
        name for name, is_there in FEATURES.items() if is_there(definition)
    }
    assert ToolType.NOOP not in {block.tool_type for block in definition.blocks}
    assert all(block.name for block in definition.blocks)
    assert one.description
    assert one.category
    assert one.tags
    assert one.estimated_duration_s


@each
def test_what_a_template_says_that_it_shows_is_in_it(one: LibraryTemplate) -> None:
    for name, is_there in FEATURES.items():
        asks = {"input", "review"} if name == "approval" else set()
        assert is_there(one.definition) == bool({name, *asks} & set(one.about.shows)), name


@each
def test_a_template_is_valid_without_a_warning(one: LibraryTemplate) -> None:
    # What could be faster is advice.
    found = [each for each in validate_definition(one.definition) if each.severity is not Severity.INFO]
    assert [finding.message for finding in found] == []


@each
def test_a_template_reads_the_same_from_its_own_dsl(one: LibraryTemplate) -> None:
    again = parse_dsl(
        render_dsl(one.definition),
        states_of(one.definition),
        input_schema=one.definition.input_schema,
        global_settings=one.definition.global_settings,
    )
    assert again == one.definition


@each
def test_every_branch_is_explained_and_nothing_else(one: LibraryTemplate) -> None:
    explained = [(note.source, note.target) for note in one.about.branches]
    assert set(explained) == ways_out(one.definition)
    assert len(explained) == len(set(explained))
    assert len(one.about.explanation) > 100


@each
def test_a_dry_run_of_the_examples_goes_down_every_branch(one: LibraryTemplate) -> None:
    plan = compile_plan(one.definition)
    writes = known_outputs(one.definition)
    runs = [
        run
        for example in one.about.examples
        for run in dry_run_branches(plan, input=example.input, writes=writes)
    ]
    assert {run.status for run in runs} == {DryRunStatus.COMPLETED}
    assert coverage(plan, runs).is_complete


@each
def test_the_examples_read_the_files_that_come_with_the_template(one: LibraryTemplate) -> None:
    assert one.about.examples
    installed = {one.workspace_name(path) for path in one.files}
    named = {
        text
        for example in one.about.examples
        for value in example.input.values()
        for text in (value if isinstance(value, list) else [value])
        if isinstance(text, str) and text.startswith("library/") and "*" not in text
    }
    assert named <= installed
    assert named
    assert sum(path.stat().st_size for path in one.files) < 20_000


def test_templates_are_found_by_words_category_tag_and_feature() -> None:
    assert [one.slug for one in search_library("invoice receipt")] == ["invoice-approval"]
    assert search_library("no such words") == []
    assert {one.slug for one in search_library(category="finance")} == {
        "invoice-approval",
        "expense-approval",
    }
    assert "order-processing" in {one.slug for one in search_library(shows="compensation")}
    assert [one.slug for one in search_library("sales", tags=["etl"])] == ["sales-etl"]
    assert len(search_library()) == len(ALL)


def test_the_page_of_the_library_lists_every_template() -> None:
    page = (Path(__file__).parents[3] / "docs/library.md").read_text(encoding="utf-8")
    for one in ALL:
        assert f"| `{one.slug}` | {one.description} | {', '.join(one.about.shows)} |" in page


def test_an_unknown_template_is_not_found() -> None:
    with pytest.raises(LibraryTemplateNotFound, match="no-such"):
        get_library_template("no-such")

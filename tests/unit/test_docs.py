"""The documentation keeps what it promises: links lead somewhere, named targets exist, examples are what they say."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from templates_app.bodies import read_template
from workflow_service.agents.use_case_pages import use_cases_page
from workflow_service.agents.use_cases import load_use_cases
from workflow_service.engine.dsl import parse_dsl, states_of
from workflow_service.engine.findings import errors_in
from workflow_service.engine.validation import validate

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE_CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
# What only one machine has.
MACHINE = re.compile(r"(?<![\w.`])/(?:home|root|tmp|Users|opt)/\w")
ADR_MAX_LINES = 60


@cache
def pages() -> list[Path]:
    hidden = {".venv", ".data", "build", "node_modules"}
    found = [path.relative_to(ROOT) for path in ROOT.rglob("*.md")]
    return sorted(
        path for path in found if not any(part in hidden or part.startswith(".") for part in path.parts)
    )


def prose(page: Path) -> str:
    return INLINE_CODE.sub("", FENCE.sub("", (ROOT / page).read_text()))


def fenced(page: str, language: str) -> list[str]:
    return [text for name, text in FENCE.findall((ROOT / page).read_text()) if name == language]


def anchors(page: Path) -> set[str]:
    """Return the anchors that headings get where Markdown is shown."""
    headings = HEADING.findall(FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> Iterator[str]:
    for link in LINK.findall(prose(page)):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (ROOT / page.parent / name) if name else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("page", pages(), ids=str)
def test_relative_links_lead_somewhere(page: Path) -> None:
    assert list(dead_links(page)) == []


@pytest.mark.parametrize("page", pages(), ids=str)
def test_no_page_names_a_path_of_one_machine(page: Path) -> None:
    assert MACHINE.findall((ROOT / page).read_text()) == []


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    index = ROOT / "docs/index.md"
    listed = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())}
    unlisted = {page for page in (ROOT / "docs").rglob("*.md") if page.resolve() not in listed}
    assert unlisted == {index}


@pytest.mark.parametrize("page", pages(), ids=str)
def test_the_make_targets_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = (ROOT / page).read_text()
    # In prose "make" is a verb too: only what is written as code is a target.
    code = "\n".join([*INLINE_CODE.findall(FENCE.sub("", text)), *(body for _, body in FENCE.findall(text))])
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", code, re.MULTILINE)) - targets == set()


def test_the_targets_that_make_help_lists_are_documented() -> None:
    helped = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = set(re.findall(r"`make ([a-z-]+)", (ROOT / "CONTRIBUTING.md").read_text()))
    assert helped - told == {"help"}


def test_the_workflow_in_the_readme_is_valid_and_both_spellings_mean_the_same() -> None:
    (document,), (text,) = fenced("README.md", "json"), fenced("README.md", "wf")
    definition = read_template(json.loads(document)).definition
    assert errors_in(validate(definition)) == ()
    assert parse_dsl(text, states_of(definition)) == definition


def test_the_page_on_use_cases_says_what_the_code_does() -> None:
    load_use_cases()
    message = "write it anew: python manage.py list_use_cases --markdown > docs/use-cases.md"
    assert (ROOT / "docs/use-cases.md").read_text() == use_cases_page(), message


def test_decisions_are_short_and_numbered_once() -> None:
    decisions = sorted((ROOT / "docs/adr").glob("*.md"))
    numbers = [int(path.name[:4]) for path in decisions]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [path.name for path in decisions if len(path.read_text().splitlines()) > ADR_MAX_LINES] == []
    for path, number in zip(decisions, numbers, strict=True):
        assert path.read_text().startswith(f"# {number}. ")


def test_the_files_that_pages_name_exist() -> None:
    """A path in backquotes that begins with one of our packages is a file, or a directory, of ours."""
    packages = (
        "workflow_service/",
        "executions_app/",
        "templates_app/",
        "approvals_app/",
        "tests/",
        "benchmarks/",
    )
    named = re.compile(rf"`((?:{'|'.join(packages)})[\w/.-]*\w)(?:/|\.\w+\()?`")
    missing = {
        (str(page), name)
        for page in pages()
        for name in named.findall((ROOT / page).read_text())
        if not (ROOT / name).exists()
    }
    assert missing == set()

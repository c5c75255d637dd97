"""The ready templates that come with the service, read from the directories beside this file.

Each directory is one template: ``workflow.wf`` with ``workflow.states.yaml`` (and ``scripts/``) is the workflow as
anyone would keep it in files, ``about.yaml`` explains it, ``data/`` holds the files that its examples read. They are
part of the program: what is wrong with one is found by the tests, not by users.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from templates_app.bodies import read_template
from templates_app.errors import LibraryTemplateNotFound
from templates_app.workflow_files import load_workflow_file
from templates_app.yaml_documents import read_yaml
from workflow_service.engine.definition import Definition, JsonObject

TEMPLATES = Path(__file__).parent / "templates"
WORKFLOW, ABOUT, DATA = "workflow.wf", "about.yaml", "data"
# Where installed files lie among the files of a workspace: library/SLUG/NAME.
FILES_PREFIX = "library"


class Example(BaseModel):
    """An input that the template runs with as it is, and what happens then."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str
    input: JsonObject


class BranchNote(BaseModel):
    """Why one way out of a block is taken, and what it leads to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    meaning: str


class About(BaseModel):
    """What ``about.yaml`` says. ``shows`` are the features that the template is an example of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shows: tuple[str, ...]
    explanation: str
    branches: tuple[BranchNote, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class LibraryTemplate:
    """A ready template. ``body`` is what ``POST /api/v1/templates`` takes; ``files`` are what its examples read."""

    slug: str
    name: str
    description: str
    category: str
    tags: tuple[str, ...]
    complexity: str
    estimated_duration_s: int | None
    about: About
    body: JsonObject
    definition: Definition
    files: tuple[Path, ...]

    @property
    def block_count(self) -> int:
        return len(self.definition.blocks)

    def workspace_name(self, file: Path) -> str:
        """Return the name under which a file of the template lies among the files of a workspace."""
        return f"{FILES_PREFIX}/{self.slug}/{file.name}"


@cache
def library() -> Mapping[str, LibraryTemplate]:
    """Return all templates of the library by slug, in order of their names."""
    found = [read_library_template(path.parent) for path in TEMPLATES.glob(f"*/{WORKFLOW}")]
    return {one.slug: one for one in sorted(found, key=lambda one: one.name)}


def read_library_template(directory: Path) -> LibraryTemplate:
    """Return the template that a directory holds; raises what reading a workflow file or its body raises."""
    body = load_workflow_file(directory / WORKFLOW)
    draft = read_template(body)
    about = About.model_validate(read_yaml((directory / ABOUT).read_text(encoding="utf-8")).value)
    files = sorted(path for path in (directory / DATA).glob("*") if path.is_file())
    return LibraryTemplate(
        slug=directory.name.replace("_", "-"),
        name=draft.name,
        description=draft.description,
        category=draft.category,
        tags=draft.tags,
        complexity=draft.complexity,
        estimated_duration_s=draft.estimated_duration_s,
        about=about,
        body=body,
        definition=draft.definition,
        files=tuple(files),
    )


def get_library_template(slug: str) -> LibraryTemplate:
    """Return the template of that slug; raises ``LibraryTemplateNotFound``."""
    found = library().get(slug)
    if found is None:
        raise LibraryTemplateNotFound(f"the library has no template '{slug[:64]}'")
    return found


def search_library(
    words: str = "", *, category: str | None = None, tags: Collection[str] = (), shows: str | None = None
) -> list[LibraryTemplate]:
    """Return the templates that have every one of the words somewhere in what is said of them, by name."""
    wanted = words.lower().split()
    return [
        one
        for one in library().values()
        if (category is None or one.category == category)
        and set(tags) <= set(one.tags)
        and (shows is None or shows in one.about.shows)
        and all(word in _text_of(one) for word in wanted)
    ]


def library_categories() -> list[str]:
    """Return the categories that the library's templates have."""
    return sorted({one.category for one in library().values()})


def _text_of(one: LibraryTemplate) -> str:
    parts = (
        one.slug,
        one.name,
        one.description,
        one.category,
        one.about.explanation,
        *one.tags,
        *one.about.shows,
    )
    return " ".join(parts).lower()

"""Regular expressions over texts, in a process of their own: a costly pattern ends there."""

from typing import Literal

from pydantic import Field

from workflow_service.agents.library.bounded import bounded
from workflow_service.agents.library.shapes import Output, Params
from workflow_service.agents.use_cases import RunContext, use_case

MAX_TEXT_CHARACTERS = 2_000_000


class PatternParams(Params):
    """``pattern`` is a regular expression in Python's syntax."""

    text: str = Field(max_length=MAX_TEXT_CHARACTERS)
    pattern: str = Field(min_length=1, max_length=2_000)
    flags: list[Literal["ignoreCase", "multiline", "dotAll"]] = []
    limit: int = Field(10_000, ge=1, le=100_000, description="The most matches that are looked for.")


class PatternMatch(Output):
    """``start`` is the place of the first character, from 0; ``named`` are the groups with names."""

    text: str
    start: int
    groups: list[str | None]
    named: dict[str, str | None]


class ExtractOutput(Output):
    """``first`` is the first match's first group, or its text where it has none; null where nothing matched."""

    matched: bool
    first: str | None
    matches: list[PatternMatch]
    count: int


@use_case("text.extract")
def extract_matches(params: PatternParams, run: RunContext) -> ExtractOutput:
    """Find what matches a regular expression in a text, with its groups."""
    found = bounded(run, "find", **params.model_dump(include={"text", "pattern", "flags", "limit"}))
    matches = [PatternMatch(**one) for one in found]
    first = None
    if matches:
        first = matches[0].groups[0] if matches[0].groups else matches[0].text
    return ExtractOutput(matched=bool(matches), first=first, matches=matches, count=len(matches))


class ReplaceInput(PatternParams):
    r"""``replacement`` may use ``\1`` or ``\g<name>``. With ``literal`` both texts mean just themselves."""

    replacement: str = Field(max_length=100_000)
    literal: bool = False


class ReplaceOutput(Output):
    text: str
    count: int


@use_case("text.replace")
def replace_matches(params: ReplaceInput, run: RunContext) -> ReplaceOutput:
    """Replace what matches a regular expression, or a text, by another text."""
    growth = len(params.replacement) * min(params.limit, params.text.count(params.pattern))
    if not params.literal:
        text, count = bounded(run, "replace", **params.model_dump(exclude={"literal"}))
    elif growth > MAX_TEXT_CHARACTERS:
        raise ValueError(f"the text would be longer than {MAX_TEXT_CHARACTERS} characters")
    else:
        count = min(params.limit, params.text.count(params.pattern))
        text = params.text.replace(params.pattern, params.replacement, params.limit)
    return ReplaceOutput(text=text, count=count)


class SplitTextOutput(Output):
    parts: list[str]
    count: int


@use_case("text.split")
def split_text(params: PatternParams, run: RunContext) -> SplitTextOutput:
    """Split a text where a regular expression matches."""
    parts: list[str] = bounded(run, "split", **params.model_dump())
    return SplitTextOutput(parts=parts, count=len(parts))

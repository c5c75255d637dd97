"""Texts: made of templates, tidied, compared, counted and sorted by their words."""

import difflib
import json
import re
import unicodedata
from collections import Counter
from string import Template
from typing import Literal

from pydantic import BaseModel, Field, JsonValue

from workflow_service.agents.json_paths import NoSuchPath, look_up
from workflow_service.agents.library.shapes import Output, Params
from workflow_service.agents.use_cases import use_case

MAX_TEXT_CHARACTERS = 1_000_000
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")


class PathTemplate(Template):
    """``$name``, ``$order.lines[0].sku`` or ``${order.id}``; ``$$`` is a dollar sign."""

    idpattern = r"(?a:[_a-z]\w*(?:\.\w+|\[\d+\])*)"
    flags = re.IGNORECASE


class TemplateInput(BaseModel):
    """``missing`` says what to do with a name that has no value: refuse, or leave it empty."""

    template: str = Field(max_length=MAX_TEXT_CHARACTERS)
    values: dict[str, JsonValue] = {}
    missing: Literal["error", "empty"] = "error"


class TemplateOutput(BaseModel):
    text: str


@use_case("text.template")
def render_template(params: TemplateInput) -> TemplateOutput:
    """Put values into a text."""
    room = MAX_TEXT_CHARACTERS
    pieces: list[str] = []
    position = 0
    for match in PathTemplate.pattern.finditer(params.template):
        pieces += [params.template[position : match.start()], _replacement(match, params)]
        position = match.end()
        room -= len(pieces[-1])
        if room < 0:
            raise ValueError(f"the text would be longer than {MAX_TEXT_CHARACTERS} characters")
    pieces.append(params.template[position:])
    return TemplateOutput(text="".join(pieces))


def _replacement(match: re.Match[str], params: TemplateInput) -> str:
    if match["escaped"] is not None:
        return "$"
    path = match["named"] or match["braced"]
    if path is None:
        line = params.template.count("\n", 0, match.start()) + 1
        raise ValueError(f"line {line}: a $ that begins no name; write $$ for a dollar sign")
    try:
        value = look_up(params.values, path)
    except NoSuchPath:
        if params.missing == "empty":
            return ""
        raise
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


class CleanInput(Params):
    """``case`` and the other steps are taken in the order in which they stand here."""

    text: str = Field(max_length=MAX_TEXT_CHARACTERS)
    trim: bool = True
    collapse_spaces: bool = False
    case: Literal["keep", "lower", "upper", "title"] = "keep"
    ascii: bool = Field(
        False, description="Replace letters with accents by those without, drop what is left."
    )
    slug: bool = Field(False, description="Make a name for URLs and files: lower case, words joined by -.")
    max_length: int | None = Field(None, ge=1, le=MAX_TEXT_CHARACTERS)


class CleanOutput(Output):
    text: str
    changed: bool


@use_case("text.clean")
def clean_text(params: CleanInput) -> CleanOutput:
    """Tidy a text: spaces, case, accents, length; or make a slug of it."""
    text = params.text.strip() if params.trim else params.text
    if params.collapse_spaces:
        text = " ".join(text.split())
    if params.case != "keep":
        text = getattr(text, params.case)()
    if params.ascii or params.slug:
        text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    if params.slug:
        text = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if params.max_length is not None:
        text = text[: params.max_length]
    return CleanOutput(text=text, changed=text != params.text)


class ClassifyInput(Params):
    """``rules`` gives each label its words or phrases; whole words count, whatever their case.

    ``weights`` makes some labels' words count more; ``default`` is the label where none was found.
    """

    text: str = Field(max_length=MAX_TEXT_CHARACTERS)
    rules: dict[str, list[str]] = Field(min_length=1, max_length=200)
    weights: dict[str, float] = {}
    default: str = "other"


class ClassifyOutput(Output):
    """``score`` is the label's share of all that was found, 0 to 1; ``scores`` counts what was found for each."""

    label: str
    score: float
    scores: dict[str, float]
    found: dict[str, list[str]]


@use_case("text.classify")
def classify_text(params: ClassifyInput) -> ClassifyOutput:
    """Choose the label whose words a text has most of: rules for triage and moderation, without a model."""
    words = " " + " ".join(_WORD.findall(params.text.casefold())) + " "
    found: dict[str, list[str]] = {}
    scores: dict[str, float] = {}
    for label, phrases in params.rules.items():
        counts = {phrase: words.count(f" {_plain(phrase)} ") for phrase in phrases if _plain(phrase)}
        found[label] = [phrase for phrase, count in counts.items() if count]
        scores[label] = sum(counts.values()) * params.weights.get(label, 1.0)
    total = sum(scores.values())
    # The first of the equal ones, in the order of the rules.
    best = max(scores, key=lambda label: scores[label])
    if scores[best] <= 0:
        return ClassifyOutput(label=params.default, score=0.0, scores=scores, found=found)
    return ClassifyOutput(label=best, score=scores[best] / total, scores=scores, found=found)


class CountInput(Params):
    text: str = Field(max_length=MAX_TEXT_CHARACTERS)
    top: int = Field(10, ge=0, le=1_000)


class WordCount(Output):
    word: str
    count: int


class CountOutput(Output):
    """``top_words`` are the most frequent ones, in lower case."""

    characters: int
    words: int
    lines: int
    sentences: int
    top_words: list[WordCount]


@use_case("text.count")
def count_text(params: CountInput) -> CountOutput:
    """Count the characters, words, lines and sentences of a text, and its most frequent words."""
    words = _WORD.findall(params.text.casefold())
    counts = Counter(words)
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[: params.top]
    return CountOutput(
        characters=len(params.text),
        words=len(words),
        lines=len(params.text.splitlines()),
        sentences=len(re.findall(r"[.!?]+(?=\s|$)", params.text)),
        top_words=[WordCount(word=word, count=count) for word, count in ordered],
    )


class CompareInput(Params):
    one: str = Field(max_length=20_000)
    other: str = Field(max_length=20_000)
    threshold: float = Field(0.8, ge=0, le=1)


class CompareOutput(Output):
    """``similarity`` is 0 to 1; ``similar`` whether it reaches the threshold."""

    similarity: float
    similar: bool
    equal: bool


@use_case("text.compare")
def compare_texts(params: CompareInput) -> CompareOutput:
    """Say how alike two texts are by the words they share, in their order."""
    one, other = _WORD.findall(params.one.casefold()), _WORD.findall(params.other.casefold())
    similarity = difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
    return CompareOutput(
        similarity=round(similarity, 4),
        similar=similarity >= params.threshold,
        equal=params.one == params.other,
    )


class JoinTextInput(Params):
    parts: list[str | int | float | bool | None] = Field(max_length=100_000)
    separator: str = Field(", ", max_length=1_000)


class TextOutput(Output):
    text: str


@use_case("text.join")
def join_texts(params: JoinTextInput) -> TextOutput:
    """Join texts and numbers to one text; null is left out."""
    text = params.separator.join(_shown(part) for part in params.parts if part is not None)
    if len(text) > MAX_TEXT_CHARACTERS:
        raise ValueError(f"the text would be longer than {MAX_TEXT_CHARACTERS} characters")
    return TextOutput(text=text)


def _shown(part: str | float | bool | None) -> str:
    return part if isinstance(part, str) else json.dumps(part)


def _plain(phrase: str) -> str:
    return " ".join(_WORD.findall(phrase.casefold()))

"""Texts made of templates."""

import json
import re
from string import Template
from typing import Literal

from pydantic import BaseModel, Field, JsonValue

from workflow_service.agents.json_paths import NoSuchPath, look_up
from workflow_service.agents.use_cases import use_case

MAX_TEXT_CHARACTERS = 1_000_000


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

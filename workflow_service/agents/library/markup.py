"""Texts for readers: Jinja templates and Markdown."""

from typing import Literal

from pydantic import Field, JsonValue

from workflow_service.agents.library.bounded import bounded
from workflow_service.agents.library.shapes import Output, Params
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.artifacts.references import ArtifactRef, FileName

MAX_TEXT_CHARACTERS = 2_000_000


class RenderInput(Params):
    """``template`` is a Jinja template; with ``html`` values are escaped. ``save_as`` also keeps the text as a file.

    ``missing`` says what to do with a name that has no value: refuse, or leave it empty.
    """

    template: str = Field(max_length=MAX_TEXT_CHARACTERS)
    values: dict[str, JsonValue] = {}
    format: Literal["text", "html"] = "text"
    missing: Literal["error", "empty"] = "error"
    save_as: FileName | None = None


class TextOutput(Output):
    """``artifact`` is the reference of the file, where one was asked for."""

    text: str
    artifact: ArtifactRef | None


@use_case("template.render")
def render_jinja(params: RenderInput, run: RunContext) -> TextOutput:
    """Render a Jinja template with values: loops, conditions and filters, sandboxed."""
    text: str = bounded(
        run,
        "render",
        template=params.template,
        values=params.values,
        html=params.format == "html",
        strict=params.missing == "error",
        max_characters=MAX_TEXT_CHARACTERS,
    )
    return _kept(run, text, params.save_as, "text/html" if params.format == "html" else "")


class MarkdownInput(Params):
    """HTML within the Markdown is shown as text, not passed on. ``page`` makes a whole page of it, with a title."""

    text: str = Field(max_length=500_000)
    page: bool = False
    title: str = Field("", max_length=500)
    save_as: FileName | None = None


@use_case("markdown.render")
def render_markdown(params: MarkdownInput, run: RunContext) -> TextOutput:
    """Turn Markdown into safe HTML, and keep it as a file if asked."""
    # Imported on first use: few workers ever need it.
    from html import escape

    from markdown_it import MarkdownIt

    renderer = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable(["table", "strikethrough"])
    html = renderer.render(params.text)
    if params.page:
        html = (
            f'<!doctype html>\n<html><head><meta charset="utf-8"><title>{escape(params.title)}</title></head>\n'
            f"<body>\n{html}</body></html>\n"
        )
    return _kept(run, html, params.save_as, "text/html")


def _kept(run: RunContext, text: str, name: str | None, content_type: str) -> TextOutput:
    artifact = run.save_file(name, text, content_type=content_type) if name else None
    return TextOutput(text=text, artifact=artifact)

"""How an API names the pages of a list: numbers, offsets, cursors or links."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class _Paging(BaseModel):
    """``itemsPath`` leads from ``{"status", "headers", "body"}`` to a page's list."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, frozen=True)

    items_path: str = Field("body", max_length=500)
    max_pages: int = Field(100, ge=1, le=10_000)
    max_items: int = Field(10_000, ge=1, le=1_000_000)


class PagePaging(_Paging):
    """``?page=1``, ``?page=2``, … until a page is empty, or not full where ``size`` says what full is."""

    type: Literal["page"]
    parameter: str = Field("page", min_length=1, max_length=100)
    start: int = Field(1, ge=0)
    size_parameter: str | None = Field(None, min_length=1, max_length=100)
    size: int | None = Field(None, ge=1, le=100_000)


class OffsetPaging(_Paging):
    """``?offset=0&limit=100``, ``?offset=100&limit=100``, … until a page is not full."""

    type: Literal["offset"]
    parameter: str = Field("offset", min_length=1, max_length=100)
    limit_parameter: str = Field("limit", min_length=1, max_length=100)
    limit: int = Field(100, ge=1, le=100_000)


class CursorPaging(_Paging):
    """``?cursor=…`` with what ``cursorPath`` leads to in the page before, until that is missing, null or empty."""

    type: Literal["cursor"]
    parameter: str = Field("cursor", min_length=1, max_length=100)
    cursor_path: str = Field(min_length=1, max_length=500)


class LinkPaging(_Paging):
    """The URL in the ``Link`` header with ``rel="next"`` (RFC 8288), or that ``nextPath`` leads to."""

    type: Literal["link"]
    next_path: str | None = Field(None, min_length=1, max_length=500)


Paging = Annotated[PagePaging | OffsetPaging | CursorPaging | LinkPaging, Field(discriminator="type")]

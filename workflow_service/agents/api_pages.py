"""Lists that come in pages: fetched one after the other, and collected within bounds of count, bytes and time.

A page that another host is to serve is not fetched: the credentials are for the first one.
"""

import time
from collections.abc import Callable

import httpx
from pydantic import JsonValue

from workflow_service.agents.api_answers import Answer, answer_value, place, retry_after_s
from workflow_service.agents.api_paging import CursorPaging, LinkPaging, OffsetPaging, PagePaging, Paging
from workflow_service.agents.api_redirects import same_origin
from workflow_service.agents.configuration import ApiConfiguration
from workflow_service.agents.egress_rules import check_url
from workflow_service.agents.errors import ToolError
from workflow_service.agents.json_paths import NoSuchPath, look_up
from workflow_service.engine.states import ErrorType

SLOW_DOWN = frozenset({429, 503})
MAX_WAIT_S = 60
MAX_WAITS = 5
LOOK_UP_S = 0.5
Send = Callable[[httpx.URL], Answer]


class Collector:
    """Collects the items of a list; ``send`` fetches one URL, ``remaining_s`` raises ``TimeoutError`` at the end."""

    def __init__(
        self,
        paging: Paging,
        send: Send,
        *,
        configuration: ApiConfiguration,
        max_bytes: int,
        remaining_s: Callable[[], float],
        stopped: Callable[[], bool],
    ) -> None:
        self._paging = paging
        self._send = send
        self._configuration = configuration
        self._max_bytes = max_bytes
        self._remaining_s = remaining_s
        self._stopped = stopped
        self._items: list[JsonValue] = []
        self._pages = 0
        self._bytes = 0
        self._waits = 0

    def collect(self, url: httpx.URL) -> tuple[Answer, dict[str, JsonValue]]:
        """Return the last answer and the output: the items as ``body``, how many ``pages``, whether there is ``more``.

        Raises ``ToolError``, and ``TimeoutError`` where no time is left.
        """
        first = url
        seen: set[str] = set()
        following: httpx.URL | None = _first(url, self._paging)
        while True:
            if str(following) in seen:
                raise self._wrong("the pages lead in a circle", following or url)
            seen.add(str(following))
            answer = self._fetch(following or url)
            value = answer_value(answer, self._configuration, self._max_bytes)
            count = self._take(answer, value)
            following = self._next(first, answer, value, count)
            full = self._pages >= self._paging.max_pages or len(self._items) >= self._paging.max_items
            if following is None or full:
                more = following is not None or len(self._items) > self._paging.max_items
                output = value | {
                    "body": self._items[: self._paging.max_items],
                    "pages": self._pages,
                    "more": more,
                }
                return answer, output

    def _fetch(self, url: httpx.URL) -> Answer:
        while True:
            if self._stopped():
                raise ToolError(ErrorType.SYSTEM_ERROR, "the collecting was stopped: its run was cancelled")
            answer = self._send(url)
            wait_s = retry_after_s(answer)
            patient = wait_s is not None and wait_s <= min(MAX_WAIT_S, self._remaining_s() - 1)
            if answer.status not in SLOW_DOWN or wait_s is None or not patient or self._waits >= MAX_WAITS:
                return answer
            # What is collected already would be lost if the whole block were tried again.
            self._waits += 1
            self._wait(wait_s)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stopped():
            time.sleep(min(left, LOOK_UP_S))

    def _take(self, answer: Answer, value: dict[str, JsonValue]) -> int:
        self._pages += 1
        self._bytes += len(answer.content)
        if self._bytes > self._max_bytes:
            raise self._wrong(f"the pages are together larger than {self._max_bytes} bytes", answer.url)
        try:
            items = look_up(value, self._paging.items_path)
        except NoSuchPath as error:
            raise self._wrong(f"itemsPath: {error}", answer.url) from None
        if not isinstance(items, list):
            raise self._wrong(f"'{self._paging.items_path}' is not a list", answer.url)
        self._items += items
        return len(items)

    def _next(
        self, first: httpx.URL, answer: Answer, value: dict[str, JsonValue], count: int
    ) -> httpx.URL | None:
        match self._paging:
            case PagePaging() as paging:
                if count == 0 or (paging.size is not None and count < paging.size):
                    return None
                return _numbered(first, paging, self._pages)
            case OffsetPaging() as paging:
                return _offset(first, paging, len(self._items)) if count >= paging.limit else None
            case CursorPaging() as paging:
                cursor = _found(value, paging.cursor_path)
                if cursor is None or cursor == "" or cursor is False:
                    return None
                if not isinstance(cursor, str | int):
                    raise self._wrong(f"'{paging.cursor_path}' is no cursor", answer.url)
                return _with(first, {paging.parameter: str(cursor)})
            case LinkPaging() as paging:
                return self._linked(answer, value, paging)

    def _linked(self, answer: Answer, value: dict[str, JsonValue], paging: LinkPaging) -> httpx.URL | None:
        if paging.next_path is not None:
            link = _found(value, paging.next_path)
        else:
            link = _response_links(answer).get("next", {}).get("url")
        if not isinstance(link, str) or not link:
            return None
        try:
            url = answer.url.join(link)
        except httpx.InvalidURL as error:
            raise self._wrong(f"the next page has no URL: {error}", answer.url) from None
        check_url(url)
        if not same_origin(url, answer.url):
            raise self._wrong("the next page is on another origin", answer.url)
        return url

    def _wrong(self, message: str, url: httpx.URL) -> ToolError:
        return ToolError(
            ErrorType.VALIDATION_ERROR, f"paging: {message}", details=place(url) | {"page": self._pages}
        )


def _first(url: httpx.URL, paging: Paging) -> httpx.URL:
    match paging:
        case PagePaging():
            return _numbered(url, paging, 0)
        case OffsetPaging():
            return _offset(url, paging, 0)
        case _:
            return url


def _numbered(url: httpx.URL, paging: PagePaging, done: int) -> httpx.URL:
    given = {paging.parameter: str(paging.start + done)}
    if paging.size_parameter is not None and paging.size is not None:
        given[paging.size_parameter] = str(paging.size)
    return _with(url, given)


def _offset(url: httpx.URL, paging: OffsetPaging, done: int) -> httpx.URL:
    return _with(url, {paging.parameter: str(done), paging.limit_parameter: str(paging.limit)})


def _with(url: httpx.URL, given: dict[str, str]) -> httpx.URL:
    return url.copy_merge_params(given)


def _found(value: JsonValue, path: str) -> JsonValue:
    try:
        return look_up(value, path)
    except NoSuchPath:
        return None


def _response_links(answer: Answer) -> dict[str | None, dict[str, str]]:
    links: dict[str | None, dict[str, str]] = httpx.Response(200, headers=answer.headers).links
    return links

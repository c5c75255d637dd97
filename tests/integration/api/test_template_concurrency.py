"""Two who write one template at once: one of them wins, and nothing of either is half done."""

from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

from django.db import connection

from templates_app.models import Template, TemplateVersion
from tests.caller import Caller
from tests.factories import noop

MANY = 4


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Make the calls from as many threads, all at the same moment, and return their answers."""
    answers: list[Any] = [None] * len(calls)
    start = Barrier(len(calls))

    def run(number: int, call: Callable[[], Any]) -> None:
        start.wait()
        try:
            answers[number] = call()
        finally:
            connection.close()

    threads = [Thread(target=run, args=(number, call)) for number, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def made(developer: Caller) -> tuple[str, str]:
    answer = developer.post("templates", {"name": "T", "blocks": [noop("a")]})
    return f"templates/{answer.json()['templateId']}", answer["ETag"]


def test_of_many_writes_under_one_etag_one_is_done(developer: Caller) -> None:
    path, tag = made(developer)

    def write(number: int) -> Callable[[], Any]:
        body = {"name": f"Writer {number}", "blocks": [noop(f"b{number}")]}
        return lambda: developer.put(path, body, **{"If-Match": tag})

    answers = at_once(*(write(number) for number in range(MANY)))
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * (MANY - 1)
    (winner,) = [answer.json() for answer in answers if answer.status_code == 200]
    shown = developer.get(path).json()
    assert (shown["name"], shown["blocks"]) == (winner["name"], winner["blocks"])
    assert TemplateVersion.objects.count() == 2


def test_writes_without_an_etag_come_one_after_another(developer: Caller) -> None:
    path, _ = made(developer)
    calls = [
        lambda number=number: developer.put(path, {"name": "T", "blocks": [noop(f"b{number}")]})
        for number in range(MANY)
    ]
    assert {answer.status_code for answer in at_once(*calls)} == {200}
    labels = TemplateVersion.objects.order_by("ordinal").values_list("ordinal", "label")
    assert list(labels) == [(1 + number, f"1.{number}.0") for number in range(MANY + 1)]


def test_different_commands_under_one_etag_do_not_mix(developer: Caller) -> None:
    path, tag = made(developer)
    headers = {"If-Match": tag}
    answers = at_once(
        lambda: developer.delete(path, **headers),
        lambda: developer.post(f"{path}/deprecate", {"note": "old"}, **headers),
        lambda: developer.patch(path, {"name": "New"}, **headers),
        lambda: developer.put(path, {"name": "T", "blocks": [noop("b")]}, **headers),
    )
    codes = [answer.status_code for answer in answers]
    assert sum(code in (200, 204) for code in codes) == 1, codes
    template = Template.objects.select_related("current_version").get()
    assert template.current_version is not None
    found = (
        template.status == "archived",
        template.status == "deprecated",
        template.name == "New",
        template.current_version.ordinal == 2,
    )
    assert found == tuple(code in (200, 204) for code in codes), "what was answered is what is there"


def test_rolling_back_twice_at_once_is_done_once(developer: Caller) -> None:
    path, _ = made(developer)
    developer.put(path, {"name": "T", "blocks": [noop("b")]})
    answers = at_once(*[lambda: developer.post(f"{path}/rollback", {"version": "1"})] * 3)
    assert [answer.json()["version"] for answer in answers] == ["1.2.0"] * 3
    assert TemplateVersion.objects.count() == 3

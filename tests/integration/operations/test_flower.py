"""Flower as the stack starts it: nobody looks without the password, and nobody changes anything with it."""

import base64
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import flower.urls
import pytest

from workflow_service.embedded.ports import LOOPBACK, find_free_port
from workflow_service.embedded.programs import PROJECT_ROOT, StackOptions, stack_programs

LOGIN = "operator:a-long-password"
OPEN_TO_ALL = {"/healthcheck", "/metrics"}
# A search whose question is too long for an address.
READS_BY_POST = {"/tasks/datatable"}


def addresses() -> dict[str, type]:
    """Return every address that Flower serves, with its handler."""
    found: dict[str, type] = {}
    for rule in flower.urls.handlers:
        pattern, handler = (rule.regex.pattern, rule.handler_class) if hasattr(rule, "regex") else rule[:2]
        if pattern not in (".*", ".*$") and "static" not in pattern and "log" not in pattern:
            found[re.sub(r"\(\.[+*]\)", "some-name", pattern).rstrip("$")] = handler
    return found


CHANGING = sorted(
    address
    for address, handler in addresses().items()
    if "post" in vars(handler) and address not in READS_BY_POST
)
READING = sorted(address for address, handler in addresses().items() if "get" in vars(handler))


@pytest.fixture(scope="module")
def flower_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start Flower with the stack's own command line, and wait until it answers."""
    port = find_free_port()
    directory: Path = tmp_path_factory.mktemp("flower")
    programs = {program.name: program for program in stack_programs(StackOptions(directory), 0, port)}
    environment = {**os.environ, "FLOWER_BASIC_AUTH": LOGIN}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            programs["flower"].command, cwd=PROJECT_ROOT, env=environment, stdout=log, stderr=log
        )
    url = f"http://{LOOPBACK}:{port}"
    try:
        deadline = time.monotonic() + 60
        while status_of(f"{url}/healthcheck") != 200:
            assert process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


def status_of(url: str, *, method: str = "GET", login: str | None = None) -> int:
    headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}
    data = b"{}" if method == "POST" else None
    request = urllib.request.Request(url, data=data, method=method, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_there_is_something_to_guard() -> None:
    assert "/api/task/async-apply/some-name" in CHANGING
    assert "/api/worker/shutdown/some-name" in CHANGING
    assert {"/", "/workers", "/tasks", "/api/tasks"} <= set(READING)


def test_nobody_looks_without_the_password(flower_url: str) -> None:
    for address in set(READING) - OPEN_TO_ALL:
        assert status_of(flower_url + address) == 401, address
        assert status_of(flower_url + address, login="operator:guessed") == 401, address


def test_nobody_changes_anything_even_with_the_password(flower_url: str) -> None:
    for address in CHANGING:
        assert status_of(flower_url + address, method="POST") == 401, address
        assert status_of(flower_url + address, method="POST", login=LOGIN) == 403, address


def test_who_has_the_password_may_look(flower_url: str) -> None:
    for address in ("/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks"):
        assert status_of(flower_url + address, login=LOGIN) == 200, address

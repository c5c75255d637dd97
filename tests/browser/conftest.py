"""A browser before the service's pages, served by this process: what people see, with and without JavaScript.

The server speaks HTTP alone, so pages here live by polling; sockets are met on the whole stack (acceptance).
"""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.browsing import SignIn

if TYPE_CHECKING:  # Django is not set up yet when this is read.
    from workflow_service.accounts.models import User

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, the machine's own where it has one, else Playwright's; asynchronous tests need their loop back."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    # Playwright's loop runs in this thread, where the tests make their rows.
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        chromium = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def sign_in(browser: Browser, live_server: Any) -> Iterator[SignIn]:
    """Return a function that signs a user in and gives a page; every page must have been free of errors."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def opened(user: "User", *, width: int = 1280, dark: bool = False, scripts: bool = True) -> Page:
        context = browser.new_context(
            base_url=live_server.url,
            viewport={"width": width, "height": 844},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
        )
        contexts.append(context)
        client = Client()
        client.force_login(user)
        context.add_cookies(
            [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
        )
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda said: (
                errors.append(f"{page.url}: {said.text}") if "Security Policy" in said.text else None
            ),
        )
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def _is_blocked(said: ConsoleMessage) -> bool:
    """Say whether the browser tells that the security policy kept something out."""
    return "Content Security Policy" in said.text

"""What tests in a browser share."""

from collections.abc import Callable

from playwright.sync_api import Page

# Signs a user in: ``sign_in(user, width=390, dark=True, scripts=False)`` gives their page.
SignIn = Callable[..., Page]

"""JSON web tokens: the one module that knows simplejwt.

An access token says who the user is for a short while; a refresh token gives new ones. Both carry a mark of
the password, so that a changed password ends them at once; deactivating the user does too.
"""

import hmac
from dataclasses import dataclass

from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from workflow_service.accounts.errors import InvalidCredentials
from workflow_service.accounts.models import User

_USER_CLAIM = "sub"
_PASSWORD_CLAIM = "pwd"  # noqa: S105 - the name of a claim
_MARK_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class TokenPair:
    """``expires_in_s`` is the access token's life."""

    access: str
    refresh: str
    expires_in_s: int


def issue_tokens(user: User) -> TokenPair:
    """Return new tokens for a user whose credentials were checked."""
    refresh = RefreshToken()
    refresh[_USER_CLAIM] = user.public_id
    refresh[_PASSWORD_CLAIM] = _password_mark(user)
    access = refresh.access_token
    return TokenPair(str(access), str(refresh), int(access.lifetime.total_seconds()))


def refresh_tokens(refresh: str) -> TokenPair:
    """Return new tokens for a valid refresh token; raises ``InvalidCredentials``."""
    return issue_tokens(_user_of(refresh, RefreshToken))


def user_of_access_token(access: str) -> User:
    """Return the active user of a valid access token; raises ``InvalidCredentials``."""
    return _user_of(access, AccessToken)


def _user_of(text: str, kind: type[Token]) -> User:
    try:
        # The stubs narrow the argument to a Token; simplejwt parses text and bytes.
        token = kind(text)  # type: ignore[arg-type]
    except (TokenError, ValueError) as error:
        raise InvalidCredentials("the token is not valid or has expired: sign in again") from error
    user = User.objects.filter(public_id=str(token.get(_USER_CLAIM, "")), is_active=True).first()
    if user is None or not hmac.compare_digest(str(token.get(_PASSWORD_CLAIM, "")), _password_mark(user)):
        raise InvalidCredentials("the token's user is gone, or its password has changed: sign in again")
    return user


def _password_mark(user: User) -> str:
    return user.get_session_auth_hash()[:_MARK_CHARACTERS]

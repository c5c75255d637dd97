"""How a request says who it is: a bearer token, an API key, or the browser's session (with CSRF)."""

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.authentication import SessionAuthentication as DrfSessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from workflow_service.accounts.api_keys import find_api_key
from workflow_service.accounts.errors import InvalidCredentials
from workflow_service.accounts.models import ApiKey, User
from workflow_service.accounts.tokens import user_of_access_token
from workflow_service.audit.origin import came_with_key


class JwtAuthentication(BaseAuthentication):
    """``Authorization: Bearer TOKEN``."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        token = _credentials(request, "bearer")
        if token is None:
            return None
        try:
            return user_of_access_token(token), None
        except InvalidCredentials as error:
            raise AuthenticationFailed(error.message, code=error.code) from error

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="workflow-service"'


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: ApiKey wfk_PREFIX.SECRET``, or the same text in ``X-Api-Key``."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        text = _credentials(request, "apikey") or request.META.get("HTTP_X_API_KEY")
        if text is None:
            return None
        key = find_api_key(text, now=timezone.now())
        if key is None or not key.user.is_active:
            raise AuthenticationFailed(
                "the API key is unknown, revoked or expired", code="INVALID_CREDENTIALS"
            )
        key.user.acting_key = key
        came_with_key(key.prefix)
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return "ApiKey"


class SessionAuthentication(DrfSessionAuthentication):
    """Django's session, as after signing in to admin; writes need the CSRF token."""


def _credentials(request: Request, scheme: str) -> str | None:
    """Return what follows ``scheme`` in the Authorization header; None if it names another one."""
    name, _, rest = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return rest.strip() if name.lower() == scheme else None

"""Who opens a WebSocket, and from where.

A browser sends its cookies to any page's socket, so a session counts only where the Origin is this host or
one that may post to it. A client that is no browser sends no Origin; it must bring a ticket, which no other
page can have.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.http.request import split_domain_port, validate_host

from workflow_service.accounts.models import User
from workflow_service.accounts.tickets import redeem_ticket

TICKET_PREFIX = "ticket."

_SESSIONS = """
    SELECT held.key, member.password
    FROM unnest(%s::text[], %s::bigint[]) AS held (key, user_id)
    JOIN django_session kept ON kept.session_key = held.key AND kept.expire_date > clock_timestamp()
    JOIN accounts_user member ON member.id = held.user_id
"""

Application = Any
Scope = dict[str, Any]


def authenticated(application: Application) -> Application:
    """Wrap a socket application: ``scope["user"]`` is set by ticket or session, foreign pages are refused
    (403).
    """
    return SocketAuthentication(application)


class SocketAuthentication:
    """Refuses foreign origins, then names the user: by ticket if one is offered, else by session."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._with_session = AuthMiddlewareStack(application)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> Any:
        if not _may_come_from_there(scope):
            return await WebsocketDenier()(scope, receive, send)
        ticket = offered_ticket(scope)
        if ticket is None:
            return await self._with_session(scope, receive, send)
        user = await database_sync_to_async(redeem_ticket)(ticket.removeprefix(TICKET_PREFIX))
        return await self._application({**scope, "user": user or AnonymousUser()}, receive, send)


def list_living_sessions(users: Iterable[User]) -> set[str]:
    """Return those of the users' sessions that have not ended: not by signing out, with time, or by a new password."""
    held = {user.session: user for user in users if user.session}
    if not held:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(_SESSIONS, [list(held), [user.pk for user in held.values()]])
        return {key for key, password in cursor.fetchall() if password == held[key].password}


def offered_ticket(scope: Scope) -> str | None:
    """Return the subprotocol ``ticket.VALUE`` that the client offers, None if it offers none."""
    offered: list[str] = scope.get("subprotocols", [])
    return next((name for name in offered if name.startswith(TICKET_PREFIX)), None)


def chosen_subprotocol(scope: Scope) -> str | None:
    """Return the subprotocol to answer with: a browser drops the socket if none of those it offered is
    chosen.

    The ticket itself is chosen only where nothing else is offered.
    """
    offered: list[str] = scope.get("subprotocols", [])
    plain = (name for name in offered if not name.startswith(TICKET_PREFIX))
    return next(plain, offered_ticket(scope))


def _may_come_from_there(scope: Scope) -> bool:
    headers = dict(scope.get("headers", ()))
    origin = headers.get(b"origin")
    if origin is None:
        return offered_ticket(scope) is not None
    place = origin.decode("latin-1").lower()
    if place in settings.CSRF_TRUSTED_ORIGINS:
        return True
    host = headers.get(b"host", b"").decode("latin-1").lower()
    domain, _ = split_domain_port(host)
    return bool(domain) and urlsplit(place).netloc == host and validate_host(domain, settings.ALLOWED_HOSTS)

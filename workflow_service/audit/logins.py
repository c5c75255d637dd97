"""Sign-ins and sign-outs, as Django tells of them, whichever page or address they come by.

A name that nobody bears is not kept: people type passwords there.
"""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver

from workflow_service.audit.denials import may_record_denial
from workflow_service.audit.models import Outcome
from workflow_service.audit.origin import current_origin
from workflow_service.audit.trail import record


def record_login(user: Any, *, by: str) -> None:
    """Record that a user signed in, ``by`` a session or a token."""
    _record("user.login", user, detail={"by": by})


@receiver(user_logged_in)
def _logged_in(sender: Any, user: Any, **_: Any) -> None:
    record_login(user, by="session")


@receiver(user_logged_out)
def _logged_out(sender: Any, user: Any, **_: Any) -> None:
    if user is not None:
        _record("user.logout", user)


@receiver(user_login_failed)
def _login_failed(sender: Any, credentials: dict[str, Any], **_: Any) -> None:
    users = get_user_model()
    name = str(credentials.get(users.USERNAME_FIELD) or "")[:150].replace("\x00", "")
    last = may_record_denial(f"login {current_origin().address}")
    if last is not None:
        user = users.objects.filter(**{users.USERNAME_FIELD: name}).first()
        further = {"further": "not recorded for an hour"} if last else {}
        _record("user.login", user, outcome=Outcome.FAILURE, detail=further)


def _record(
    action: str, user: Any, *, outcome: str = Outcome.SUCCESS, detail: dict[str, str] | None = None
) -> None:
    record(
        action,
        workspace_id=None,
        actor_id=user.pk if user else None,
        actor=user.get_username() if user else "unknown",
        target_type="user",
        target_id=user.public_id if user else "unknown",
        outcome=outcome,
        detail=detail,
    )

"""The first workspace and its people, so that a fresh installation can be used at once.

Asking twice changes nothing: who exists keeps their password and only missing users and roles are added.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction

from workflow_service.accounts.models import Membership, Role, User, Workspace
from workflow_service.accounts.recording import record_by

WORKSPACE_NAME = "Demo"
WORKSPACE_SLUG = "demo"


@dataclass(frozen=True, slots=True)
class InitialUser:
    """``is_staff`` opens Django admin; what may be done there is decided by ``policies.py``."""

    username: str
    role: Role
    is_staff: bool = False
    is_superuser: bool = False


INITIAL_USERS = (
    InitialUser("admin", Role.ADMIN, is_staff=True, is_superuser=True),
    InitialUser("developer", Role.DEVELOPER),
    InitialUser("approver", Role.APPROVER, is_staff=True),
    InitialUser("operator", Role.OPERATOR, is_staff=True),
    InitialUser("viewer", Role.VIEWER),
)


def generate_passwords() -> dict[str, str]:
    """Return a new random password for every initial user."""
    return {initial.username: secrets.token_urlsafe(12) for initial in INITIAL_USERS}


@transaction.atomic
def ensure_initial_users(
    passwords: Mapping[str, str] | None = None, *, reset: bool = False
) -> dict[str, str]:
    """Create the demo workspace and its users where they are missing; return the passwords that are known.

    A new user gets its password from ``passwords``, else a generated one. A user that exists keeps its own,
    unless ``reset`` is set and ``passwords`` names it. A caller that keeps passwords in a file writes the
    file first (``generate_passwords``), so that being killed in between loses nothing.
    """
    given = dict(passwords or {})
    workspace, _ = Workspace.objects.get_or_create(slug=WORKSPACE_SLUG, defaults={"name": WORKSPACE_NAME})
    known: dict[str, str] = {}
    for initial in INITIAL_USERS:
        user, created = User.objects.get_or_create(
            username=initial.username,
            defaults={"is_staff": initial.is_staff, "is_superuser": initial.is_superuser},
        )
        if created and initial.username not in given:
            given[initial.username] = secrets.token_urlsafe(12)
        if initial.username in given:
            known[initial.username] = given[initial.username]
            if created or reset:
                user.set_password(given[initial.username])
                user.save(update_fields=["password"])
        if created:
            Membership.objects.get_or_create(workspace=workspace, user=user, role=initial.role)
            record_by(
                None, "user.create", workspace, "user", user.public_id, name=user.username, role=initial.role
            )
    return known

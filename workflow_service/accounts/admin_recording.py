"""Admin pages whose writes are Django's own, on record in the audit trail.

Django tells a page of every row that it added, changed or deleted, in the transaction of the write; what has a service
is recorded there instead. The names of changed fields are kept, and values of those that say who may do what; never a
password.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from workflow_service.accounts.models import Membership, User, Workspace
from workflow_service.accounts.recording import record_by

_TOLD = ("username", "name", "slug", "role", "is_active", "is_staff", "is_superuser")


class RecordedAdmin:
    """Mixed into an admin page in front of Django's; ``recorded_as`` is the noun of its actions."""

    recorded_as: ClassVar[str]

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self.record_row(request, "create", obj, message)
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self.record_row(request, "change", obj, message)
        return super().log_change(request, obj, message)  # type: ignore[misc]

    # Of deletions Django tells before, and outside of a transaction where several are deleted.
    @transaction.atomic
    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.record_row(request, "delete", obj)
        super().delete_model(request, obj)  # type: ignore[misc]

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> None:
        for row in queryset:
            self.record_row(request, "delete", row)
        super().delete_queryset(request, queryset)  # type: ignore[misc]

    def record_row(self, request: HttpRequest, verb: str, row: Model, message: Any = None) -> None:
        """Record what the user of the request did to a row; ``message`` is Django's list of changes."""
        actor = request.user
        assert isinstance(actor, User)  # noqa: S101 - the admin asked for its permission
        detail = {"what": str(row), **{name: getattr(row, name) for name in _TOLD if hasattr(row, name)}}
        if isinstance(row, User):
            detail["groups"] = sorted(row.groups.values_list("name", flat=True))
        if isinstance(row, Membership):
            detail |= {"user": row.user.get_username(), "workspace": row.workspace.slug}
        workspace = row if isinstance(row, Workspace) else getattr(row, "workspace_id", None)
        target = str(getattr(row, "public_id", row.pk))
        changes = list(_changes(message))
        record_by(
            actor,
            f"{self.recorded_as}.{verb}",
            workspace,
            self.recorded_as,
            target,
            **detail,
            changes=changes,
        )


def _changes(message: Any) -> Iterable[str]:
    """Yield in words what Django says was changed: its list of what was done to the row and to those inside it."""
    if isinstance(message, str):
        yield message
        return
    for part in message or ():
        for done, what in part.items() if isinstance(part, Mapping) else ():
            told = ", ".join(map(str, what.get("fields", ())))
            thing = " ".join(str(what[name]) for name in ("name", "object") if name in what)
            yield " ".join(text for text in (done, thing, told) if text)

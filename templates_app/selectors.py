"""Reads: templates and their versions, always of one workspace."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import CharField, Count, Func, Q, QuerySet

from templates_app.errors import TemplateNotFound, VersionNotFound
from templates_app.models import Template, TemplateShare, TemplateVersion
from templates_app.search import search_templates
from templates_app.sharing import shared_with
from templates_app.version_labels import SEMVER
from workflow_service.accounts.models import User, Workspace
from workflow_service.engine.states import TemplateStatus

_ORDINAL = re.compile(r"[1-9]\d{0,8}", re.ASCII)


# What one may sort a list by, as the API names it; the newest come first among equals.
ORDERINGS = ("createdAt", "-createdAt", "updatedAt", "-updatedAt", "name", "-name")
_SHOWN = ("current_version", "owner", "created_by", "workspace")


def get_template(workspace: Workspace, template_id: str) -> Template:
    """Return the template of that public id, its current version with it; raises ``TemplateNotFound``."""
    rows = Template.objects.select_related(*_SHOWN)
    template = rows.filter(workspace=workspace, public_id=template_id).first()
    if template is None:
        raise TemplateNotFound(f"there is no template '{template_id[:64]}' in this workspace")
    return template


@dataclass(frozen=True, slots=True)
class TemplateFilter:
    """What a list is narrowed to; None and empty narrow nothing, except that archived ones are asked for by status.

    ``owner`` is a public id or a username, ``owner_id`` a primary key; ``tags``: all of them; ``search`` as in search
    engines. Of a range the first moment is in, the last is not. ``shared_with``: what that user was given rights on.
    """

    category: str | None = None
    tags: Collection[str] = ()
    status: str | None = None
    owner: str | None = None
    owner_id: int | None = None
    complexity: str | None = None
    search: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    updated_from: datetime | None = None
    updated_to: datetime | None = None
    shared_with: User | None = None


def list_templates(
    workspace: Workspace, narrowed: TemplateFilter | None = None, *, ordering: str | None = None
) -> QuerySet[Template]:
    """Return the workspace's templates as lists show them: without definitions, in two queries with their number.

    ``ordering`` is one of ``ORDERINGS``; without one what is searched for comes best first, else the newest.
    """
    narrowed = narrowed or TemplateFilter()
    rows = Template.objects.filter(workspace=workspace, **_conditions(narrowed))
    rows = rows.select_related(*_SHOWN).defer("current_version__definition", "ai_suggestions")
    if narrowed.status is None:
        rows = rows.exclude(status=TemplateStatus.ARCHIVED)
    if narrowed.owner:
        rows = rows.filter(Q(owner__public_id=narrowed.owner) | Q(owner__username=narrowed.owner))
    if narrowed.shared_with:
        shares = TemplateShare.objects.filter(shared_with(narrowed.shared_with))
        rows = rows.filter(pk__in=shares.values("template"))
    if narrowed.search:
        rows = search_templates(rows, narrowed.search)
        return rows.order_by(*([_column(ordering)] if ordering else ["-rank"]), "-id")
    return rows.order_by(*([_column(ordering)] if ordering else []), "-id")


def list_categories(workspace: Workspace) -> list[tuple[str, int]]:
    """Return the categories of the templates in use, each with their number, by name."""
    rows = _in_use(workspace).exclude(category="").values("category").annotate(count=Count("pk"))
    return [(row["category"], row["count"]) for row in rows.order_by("category")]


def list_tags(workspace: Workspace) -> list[tuple[str, int]]:
    """Return the tags of the templates in use, each with their number, the most used first."""
    each = Func("tags", function="unnest", output_field=CharField())
    rows = _in_use(workspace).annotate(tag=each).values("tag").annotate(count=Count("pk"))
    return [(row["tag"], row["count"]) for row in rows.order_by("-count", "tag")]


def _in_use(workspace: Workspace) -> QuerySet[Template]:
    return Template.objects.filter(workspace=workspace).exclude(status=TemplateStatus.ARCHIVED).order_by()


def _conditions(narrowed: TemplateFilter) -> dict[str, Any]:
    given = {
        "category": narrowed.category,
        "status": narrowed.status,
        "complexity": narrowed.complexity,
        "owner_id": narrowed.owner_id,
        "tags__contains": list(narrowed.tags) or None,
        "created_at__gte": narrowed.created_from,
        "created_at__lt": narrowed.created_to,
        "updated_at__gte": narrowed.updated_from,
        "updated_at__lt": narrowed.updated_to,
    }
    return {name: value for name, value in given.items() if value is not None}


def _column(ordering: str) -> str:
    """Return the column that the API's name of an ordering stands for."""
    sign, name = ("-", ordering[1:]) if ordering.startswith("-") else ("", ordering)
    return sign + {"createdAt": "created_at", "updatedAt": "updated_at", "name": "name"}[name]


def current_version(template: Template) -> TemplateVersion:
    """Return the version that runs by default; raises ``VersionNotFound``."""
    if template.current_version is None:
        raise VersionNotFound(f"the template '{template.public_id}' has no version")
    return template.current_version


def get_version(template: Template, name: str | None = None) -> TemplateVersion:
    """Return the version of that label (1.2.0) or ordinal (3), else the current one.

    Raises ``VersionNotFound``.
    """
    if name is None:
        return current_version(template)
    rows = list_versions(template)
    version = None
    if _ORDINAL.fullmatch(name):
        version = rows.filter(ordinal=int(name)).first()
    elif SEMVER.fullmatch(name):
        version = rows.filter(label=name).first()
    if version is None:
        raise VersionNotFound(f"the template '{template.public_id}' has no version '{name[:32]}'")
    return version


def version_before(version: TemplateVersion) -> TemplateVersion:
    """Return the version that came before; of the first one itself."""
    rows = list_versions(version.template).filter(ordinal__lt=version.ordinal)
    return rows.first() or version


def list_shares(template: Template) -> QuerySet[TemplateShare]:
    """Return what the template is shared for, by whom it is shared with."""
    rows = TemplateShare.objects.filter(template=template).select_related("user", "group")
    return rows.order_by("user__username", "group__name", "id")


def list_versions(template: Template) -> QuerySet[TemplateVersion]:
    """Return the template's versions, newest first."""
    return template.versions.select_related("created_by").order_by("-ordinal")


def etag_of(template: Template) -> str:
    """Return the entity tag of the template as it is now: it changes with every version and every status."""
    version = template.current_version
    ordinal = version.ordinal if version else 0
    return f'"{ordinal}-{int(template.updated_at.timestamp() * 1_000_000)}"'

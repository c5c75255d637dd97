"""Reads: templates and their versions, always of one workspace."""

import re
from collections.abc import Collection

from django.db.models import Q, QuerySet

from templates_app.errors import TemplateNotFound, VersionNotFound
from templates_app.models import Template, TemplateVersion
from workflow_service.accounts.models import Workspace
from workflow_service.engine.states import TemplateStatus

_ORDINAL = re.compile(r"[1-9]\d{0,8}", re.ASCII)


def get_template(workspace: Workspace, template_id: str) -> Template:
    """Return the template of that public id, its current version with it; raises ``TemplateNotFound``."""
    rows = Template.objects.select_related("current_version", "owner", "workspace")
    template = rows.filter(workspace=workspace, public_id=template_id).first()
    if template is None:
        raise TemplateNotFound(f"there is no template '{template_id[:64]}' in this workspace")
    return template


def list_templates(
    workspace: Workspace,
    *,
    category: str | None = None,
    tags: Collection[str] = (),
    status: str | None = None,
    search: str | None = None,
) -> QuerySet[Template]:
    """Return the workspace's templates, newest first; archived ones only where ``status`` asks for them.

    ``tags``: all of them; ``search``: part of the name or the description, whatever the case.
    """
    rows = Template.objects.filter(workspace=workspace).select_related("current_version", "owner")
    rows = rows.filter(status=status) if status else rows.exclude(status=TemplateStatus.ARCHIVED)
    if category is not None:
        rows = rows.filter(category=category)
    if tags:
        rows = rows.filter(tags__contains=list(tags))
    if search:
        rows = rows.filter(Q(name__icontains=search) | Q(description__icontains=search))
    return rows.order_by("-id")


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
    found = rows.filter(ordinal=int(name)) if _ORDINAL.fullmatch(name) else rows.filter(label=name)
    version = found.first()
    if version is None:
        raise VersionNotFound(f"the template '{template.public_id}' has no version '{name[:32]}'")
    return version


def list_versions(template: Template) -> QuerySet[TemplateVersion]:
    """Return the template's versions, newest first."""
    return TemplateVersion.objects.filter(template=template).select_related("created_by").order_by("-ordinal")


def etag_of(template: Template) -> str:
    """Return the entity tag of the template as it is now: it changes with every version and every status."""
    version = template.current_version
    ordinal = version.ordinal if version else 0
    return f'"{ordinal}-{int(template.updated_at.timestamp() * 1_000_000)}"'

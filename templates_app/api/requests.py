"""What the views of templates ask of a request, and how they answer with a template."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from templates_app.api.serializers import SavedTemplate, TemplateShape, issue_document, template_document
from templates_app.models import Template
from templates_app.selectors import TemplateFilter, current_version, etag_of, get_template
from templates_app.sharing import require_on
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action
from workflow_service.engine.findings import Finding
from workflow_service.engine.recommendations import Recommendation

IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="ETag of the template as it was read."
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="ETag; 304 if it still holds."
)


def readable_template(request: Request, template_id: str) -> Template:
    """Return the template a request is about, if its user may read it there."""
    workspace = workspace_of(request, holding=Template.objects.filter(public_id=template_id))
    template = get_template(workspace, template_id)
    require_on(template, current_user(request), Action.TEMPLATE_READ)
    return template


def narrowed_by(query: Mapping[str, Any], user: User) -> TemplateFilter:
    """Return what a list's query narrows it to."""
    owner = query.get("owner")
    return TemplateFilter(
        category=query.get("category"),
        tags=[tag.strip() for tag in query.get("tags", "").split(",") if tag.strip()],
        status=query.get("status"),
        owner=user.public_id if owner == "me" else owner,
        complexity=query.get("complexity"),
        search=query.get("q") or query.get("search"),
        created_from=query.get("created_from"),
        created_to=query.get("created_to"),
        updated_from=query.get("updated_from"),
        updated_to=query.get("updated_to"),
        shared_with=user if query["shared"] else None,
    )


def named_workspace(request: Request) -> dict[str, object]:
    """Return the workspace that a template's body names, as ``workspace_of`` takes it."""
    body = request.data if isinstance(request.data, dict) else {}
    named = body.get("workspaceId") or body.get("workspace_id")
    return {"workspace_id": named} if isinstance(named, str) else {}


def if_match(request: Request) -> list[str]:
    """Return the entity tags one of which the template must have; none: it may have any."""
    return _tags(request, "If-Match")


def if_none_match(request: Request) -> list[str]:
    """Return the entity tags that the client has an answer of already."""
    return _tags(request, "If-None-Match")


def template_response(template: Template, status: int = 200) -> Response:
    """Return the answer that shows a template in its current version."""
    shape = TemplateShape(template_document(template, current_version(template))).data
    return Response(shape, status=status, headers=_headers(template, with_place=status == 201))


def saved_response(template: Template, findings: tuple[Finding, ...], status: int = 200) -> Response:
    """Return the answer that shows a template that was written, and what there is to say of it."""
    shape = template_document(template, current_version(template))
    shape["findings"] = [issue_document(one) for one in findings if not isinstance(one, Recommendation)]
    return Response(SavedTemplate(shape).data, status=status, headers=_headers(template, with_place=True))


def _headers(template: Template, *, with_place: bool) -> dict[str, str]:
    place = {"Location": f"/api/v1/templates/{template.public_id}"} if with_place else {}
    return {"ETag": etag_of(template)} | place


def _tags(request: Request, header: str) -> list[str]:
    return [tag.strip() for tag in request.headers.get(header, "").split(",") if tag.strip()]

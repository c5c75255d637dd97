"""The versions of a template over HTTP: each by its name, what differs between two, and the way back to one."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from templates_app.api.requests import (
    IF_MATCH,
    IF_NONE_MATCH,
    if_match,
    if_none_match,
    readable_template,
    template_response,
)
from templates_app.api.serializers import TemplateShape
from templates_app.api.version_serializers import (
    DiffQuery,
    DiffShape,
    RollbackBody,
    VersionList,
    VersionShape,
    diff_document,
    version_document,
)
from templates_app.selectors import get_version, list_versions, version_before
from templates_app.services.templates import roll_back
from templates_app.version_diff import diff_versions
from templates_app.version_labels import Bump
from workflow_service.accounts.api.requests import current_user
from workflow_service.api_serializers import PageQuery, QuerySerializer, page_of, read_body, read_query

TAGS = ["templates"]


class VersionsView(APIView):
    """The versions of a template."""

    @extend_schema(
        summary="List versions",
        operation_id="templates_versions_list",
        tags=TAGS,
        parameters=[PageQuery],
        responses=VersionList,
    )
    def get(self, request: Request, template_id: str) -> Response:
        """List the template's versions, newest first."""
        query = read_query(PageQuery, request)
        template = readable_template(request, template_id)
        page = page_of("versions", list_versions(template).defer("definition"), query)
        return Response(VersionList(page | {"template_id": template.public_id}).data)


class VersionView(APIView):
    """One version of a template."""

    @extend_schema(
        summary="Read a version",
        operation_id="templates_versions_retrieve",
        tags=TAGS,
        parameters=[QuerySerializer, IF_NONE_MATCH],
        responses=VersionShape,
    )
    def get(self, request: Request, template_id: str, version: str) -> Response:
        """Give what the version of that label (1.2.0) or number (3) says; it never changes."""
        read_query(QuerySerializer, request)
        found = get_version(readable_template(request, template_id), version)
        headers = {"ETag": f'"{found.pk}-{found.definition_sha256}"'}
        if headers["ETag"] in if_none_match(request):
            return Response(status=304, headers=headers)
        return Response(VersionShape(version_document(found)).data, headers=headers)


class DiffView(APIView):
    """Two versions of a template."""

    @extend_schema(summary="Compare versions", tags=TAGS, parameters=[DiffQuery], responses=DiffShape)
    def get(self, request: Request, template_id: str) -> Response:
        """Say what `to` says that `from` does not, field by field; the last change where neither is given."""
        query = read_query(DiffQuery, request)
        template = readable_template(request, template_id)
        newer = get_version(template, query.get("to"))
        older = get_version(template, query["from"]) if "from" in query else version_before(newer)
        found = diff_versions(older, newer)
        shape = {"template_id": template.public_id, "from_version": older, "to_version": newer}
        return Response(DiffShape(shape | diff_document(found)).data)


class RollbackView(APIView):
    """A template's way back to what it said before."""

    @extend_schema(
        summary="Roll a template back",
        tags=TAGS,
        parameters=[QuerySerializer, IF_MATCH],
        request=RollbackBody,
        responses=TemplateShape,
    )
    def post(self, request: Request, template_id: str) -> Response:
        """Give the template a new version equal to an old one; nothing happens where it says so already."""
        read_query(QuerySerializer, request)
        body, template = read_body(RollbackBody, request), readable_template(request, template_id)
        rolled = roll_back(
            template=template,
            actor=current_user(request),
            version=get_version(template, body["version"]),
            change_note=body.get("change_note", ""),
            bump=Bump(body["bump"]) if "bump" in body else None,
            if_match=if_match(request),
        )
        return template_response(rolled)

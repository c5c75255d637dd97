"""The library of ready templates over HTTP: browsing, reading, installing."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from templates_app.api.library_serializers import (
    InstallationShape,
    InstallBody,
    LibraryList,
    LibraryQuery,
    LibraryTemplateShape,
    installation_document,
    library_document,
    library_entry,
)
from templates_app.library.catalog import get_library_template, library_categories, search_library
from templates_app.services.library import install_template, installed_by_slug
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.accounts.throttles import CreationThrottle
from workflow_service.api_serializers import QuerySerializer, page_of, read_body, read_query

TAGS = ["library"]


class LibraryView(APIView):
    """The ready templates that come with the service."""

    @extend_schema(
        summary="Browse the library",
        operation_id="library_list",
        tags=TAGS,
        parameters=[LibraryQuery],
        responses=LibraryList,
    )
    def get(self, request: Request) -> Response:
        """List the ready templates by name; each says whether it is installed in the workspace."""
        query = read_query(LibraryQuery, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.TEMPLATE_READ)
        found = search_library(
            query.get("q", ""),
            category=query.get("category"),
            tags=[tag.strip() for tag in query.get("tags", "").split(",") if tag.strip()],
            shows=query.get("shows"),
        )
        installed = installed_by_slug([workspace])
        page = page_of(
            "templates", found, query, lambda some: [library_entry(one, installed) for one in some]
        )
        return Response(LibraryList(page | {"categories": library_categories()}).data)


class LibraryTemplateView(APIView):
    """One ready template."""

    @extend_schema(
        summary="Read a ready template",
        operation_id="library_read",
        tags=TAGS,
        parameters=[QuerySerializer],
        responses=LibraryTemplateShape,
    )
    def get(self, request: Request, slug: str) -> Response:
        """Give its graph, DSL and blocks, inputs that it runs with, and what each of its branches means."""
        read_query(QuerySerializer, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.TEMPLATE_READ)
        one = get_library_template(slug)
        return Response(LibraryTemplateShape(library_document(one, installed_by_slug([workspace]))).data)


class InstallView(APIView):
    """A ready template's way into a workspace."""

    throttle_classes = (CreationThrottle,)

    @extend_schema(
        summary="Install a ready template",
        operation_id="library_install",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=InstallBody,
        responses={201: InstallationShape, 200: InstallationShape},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Make it a template of the workspace, with its files (201).

        If it was installed before, that is told (200) and nothing but missing files is added; with
        `whenInstalled: copy` there is one more.
        """
        read_query(QuerySerializer, request)
        body = read_body(InstallBody, request)
        user, workspace = current_user(request), workspace_of(request, body=body)
        require(user, workspace, Action.TEMPLATE_CREATE)
        one = get_library_template(slug)
        done = install_template(
            workspace=workspace, actor=user, found=one, copy=body["when_installed"] == "copy"
        )
        headers = {"Location": f"/api/v1/templates/{done.template.public_id}"}
        shape = InstallationShape(installation_document(one, done))
        return Response(shape.data, status=201 if done.created else 200, headers=headers)

"""Templates as files over HTTP: download and upload."""

from typing import Any

from django.http import HttpResponse
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from templates_app.api.examples import TEMPLATE_EXAMPLES
from templates_app.api.file_parsers import DslParser, OldYamlParser, UploadParser, YamlParser, YamlTextParser
from templates_app.api.requests import named_workspace, readable_template, saved_response
from templates_app.api.serializers import SavedTemplate
from templates_app.bodies import TemplateBody
from templates_app.exports import ExportFormat, export_template
from templates_app.selectors import get_version
from templates_app.services.imports import import_workflow
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.accounts.throttles import CreationThrottle
from workflow_service.api_parsers import BoundedJsonParser
from workflow_service.api_serializers import CamelSerializer, QuerySerializer, read_query

TAGS = ["templates"]


class ExportQuery(QuerySerializer):
    format = serializers.ChoiceField(
        choices=[kind.value for kind in ExportFormat],
        default=ExportFormat.JSON.value,
        help_text="`dsl`: YAML with the graph as DSL text and what each block does under `states`.",
    )
    version = serializers.CharField(
        required=False,
        max_length=32,
        help_text="A label (1.2.0) or a number (3); not given: the current one.",
    )


class ImportQuery(QuerySerializer):
    name = serializers.CharField(
        required=False, max_length=255, help_text="The template's name, whatever the file says."
    )
    new = serializers.BooleanField(
        default=False, help_text="Make a new template even where you have one of that name."
    )


class UploadShape(CamelSerializer):
    file = serializers.FileField(help_text="A .json, .yaml or .wf file.")
    states = serializers.FileField(required=False, help_text="The states of a .wf file.")


class ImportedTemplate(SavedTemplate):
    created = serializers.BooleanField(help_text="Whether it is a new template; else it was yours already.")


class AnyFormat(DefaultContentNegotiation):
    """``format`` is the file's here, not that of the answer."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[Any, str]:
        return renderers[0], renderers[0].media_type


class ExportView(APIView):
    """A template as a file."""

    content_negotiation_class = AnyFormat

    @extend_schema(
        summary="Export a template",
        tags=TAGS,
        parameters=[ExportQuery],
        responses={(200, "application/json"): TemplateBody, (200, "application/yaml"): OpenApiTypes.STR},
    )
    def get(self, request: Request, template_id: str) -> HttpResponse:
        """Give a version as a file to download; imported, it is the same definition again."""
        query = read_query(ExportQuery, request)
        template = readable_template(request, template_id)
        version = get_version(template, query.get("version"))
        file = export_template(template, version, ExportFormat(query["format"]))
        disposition = content_disposition_header(True, file.name) or "attachment"
        return HttpResponse(
            file.text.encode(),
            content_type=f"{file.media_type}; charset=utf-8",
            headers={"Content-Disposition": disposition},
        )


class ImportView(APIView):
    """A template from a file."""

    throttle_classes = (CreationThrottle,)
    parser_classes = (BoundedJsonParser, YamlParser, OldYamlParser, YamlTextParser, DslParser, UploadParser)

    @extend_schema(
        summary="Import a template",
        operation_id="templates_import",
        tags=TAGS,
        parameters=[ImportQuery],
        request={
            "application/json": TemplateBody,
            "application/yaml": OpenApiTypes.STR,
            "text/plain": OpenApiTypes.STR,
            "multipart/form-data": UploadShape,
        },
        examples=TEMPLATE_EXAMPLES,
        responses={200: ImportedTemplate, 201: ImportedTemplate},
    )
    def post(self, request: Request) -> Response:
        """Create a template from a file, or a version of your own template of that name if it says something else.

        The body is JSON, YAML, a text in the DSL, or a form with a `file`.
        """
        query = read_query(ImportQuery, request)
        user, workspace = current_user(request), workspace_of(request, body=named_workspace(request))
        require(user, workspace, Action.TEMPLATE_CREATE)
        name = {"name": query["name"]} if "name" in query else {}
        imported = import_workflow(
            workspace=workspace, actor=user, body={**dict(request.data), **name}, always_new=query["new"]
        )
        answer = saved_response(imported.template, imported.findings, status=201 if imported.created else 200)
        answer.data["created"] = imported.created
        return answer

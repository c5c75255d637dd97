"""A template's statuses over HTTP. Archiving is DELETE, in ``views.py``."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from templates_app.api.requests import IF_MATCH, if_match, readable_template, template_response
from templates_app.api.serializers import TemplateShape
from templates_app.services.statuses import deprecate_template, publish_template, restore_template
from workflow_service.accounts.api.requests import current_user
from workflow_service.api_serializers import CamelSerializer, QuerySerializer, read_body, read_query

TAGS = ["templates"]
PARAMETERS: list[OpenApiParameter | type[QuerySerializer]] = [QuerySerializer, IF_MATCH]


class DeprecateBody(CamelSerializer):
    note = serializers.CharField(
        required=False, allow_blank=True, max_length=500, help_text="What to use instead, and until when."
    )


class PublishView(APIView):
    """A template's way from draft to active, and back from deprecated."""

    @extend_schema(
        summary="Publish a template", tags=TAGS, parameters=PARAMETERS, request=None, responses=TemplateShape
    )
    def post(self, request: Request, template_id: str) -> Response:
        """Make the template active; refused (422) with every error its definition has."""
        read_query(QuerySerializer, request)
        template = readable_template(request, template_id)
        user = current_user(request)
        return template_response(publish_template(template=template, actor=user, if_match=if_match(request)))


class DeprecateView(APIView):
    """A template's way out, with notice."""

    @extend_schema(
        summary="Deprecate a template",
        tags=TAGS,
        parameters=PARAMETERS,
        request=DeprecateBody,
        responses=TemplateShape,
    )
    def post(self, request: Request, template_id: str) -> Response:
        """Let the template be started still, with a warning that bears the note."""
        read_query(QuerySerializer, request)
        body, template = read_body(DeprecateBody, request), readable_template(request, template_id)
        return template_response(
            deprecate_template(
                template=template,
                actor=current_user(request),
                note=body.get("note", ""),
                if_match=if_match(request),
            )
        )


class RestoreView(APIView):
    """A template's way back from the archive."""

    @extend_schema(
        summary="Restore a template", tags=TAGS, parameters=PARAMETERS, request=None, responses=TemplateShape
    )
    def post(self, request: Request, template_id: str) -> Response:
        """Bring an archived template back as a draft; publish it to let it run."""
        read_query(QuerySerializer, request)
        template = readable_template(request, template_id)
        user = current_user(request)
        return template_response(restore_template(template=template, actor=user, if_match=if_match(request)))

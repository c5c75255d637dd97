"""Templates over HTTP: document A section 5.1."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from templates_app.api.examples import TEMPLATE_EXAMPLES
from templates_app.api.serializers import (
    DslShape,
    SavedTemplate,
    TemplateList,
    TemplateListQuery,
    TemplateShape,
    Validation,
    VersionList,
    VersionQuery,
    issue_document,
    settings_document,
    template_document,
    template_entry,
    validation_document,
)
from templates_app.bodies import TemplateBody, read_template
from templates_app.errors import TemplateBodyInvalid
from templates_app.models import Template
from templates_app.selectors import (
    current_version,
    etag_of,
    get_template,
    get_version,
    list_templates,
    list_versions,
)
from templates_app.services.templates import add_version, archive_template, create_template, publish_template
from templates_app.services.validation import validate_definition
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.accounts.throttles import CreationThrottle
from workflow_service.api_serializers import PageQuery, QuerySerializer, read_query
from workflow_service.engine.documents import load_definition
from workflow_service.engine.dsl import render_dsl, states_of
from workflow_service.engine.errors import InvalidDefinition, Problem
from workflow_service.engine.findings import Finding

TAGS = ["templates"]
IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="ETag of the template as it was read."
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="ETag; 304 if it still holds."
)


class TemplatesView(APIView):
    """The templates of a workspace."""

    throttle_classes = (CreationThrottle,)

    @extend_schema(
        summary="List templates",
        operation_id="templates_list",
        tags=TAGS,
        parameters=[TemplateListQuery],
        responses=TemplateList,
    )
    def get(self, request: Request) -> Response:
        """List the workspace's templates, newest first."""
        query = read_query(TemplateListQuery, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.TEMPLATE_READ)
        rows = list_templates(
            workspace,
            category=query.get("category"),
            tags=[tag.strip() for tag in query.get("tags", "").split(",") if tag.strip()],
            status=query.get("status"),
            search=query.get("q"),
        )
        limit, offset = query["limit"], query["offset"]
        found = [template_entry(template) for template in rows[offset : offset + limit]]
        page = {"templates": found, "total": rows.count(), "limit": limit, "offset": offset}
        return Response(TemplateList(page).data)

    @extend_schema(
        summary="Create a template",
        tags=TAGS,
        request=TemplateBody,
        examples=TEMPLATE_EXAMPLES,
        responses={201: SavedTemplate},
    )
    def post(self, request: Request) -> Response:
        """Create a template from `blocks`, or from `dsl` with `states`.

        It is `active` at once if its definition has no error; else it is saved as `draft`, with the errors
        under `findings`.
        """
        user, workspace = current_user(request), workspace_of(request, body=_named_workspace(request))
        require(user, workspace, Action.TEMPLATE_CREATE)
        draft = read_template(request.data)
        findings = validate_definition(draft.definition, workspace)
        template = create_template(workspace=workspace, actor=user, body=draft, findings=findings)
        return _saved(template, findings, status=201)


class TemplateView(APIView):
    """One template."""

    @extend_schema(
        summary="Read a template",
        tags=TAGS,
        parameters=[VersionQuery, IF_NONE_MATCH],
        responses=TemplateShape,
    )
    def get(self, request: Request, template_id: str) -> Response:
        """Give the template in its current version, or in the one `version` names."""
        query = read_query(VersionQuery, request)
        template = readable_template(request, template_id)
        headers = {"ETag": etag_of(template)}
        if etag_of(template) in _tags(request, "If-None-Match") and "version" not in query:
            return Response(status=304, headers=headers)
        shape = template_document(template, get_version(template, query.get("version")))
        return Response(TemplateShape(shape).data, headers=headers)

    @extend_schema(
        summary="Replace a template",
        tags=TAGS,
        parameters=[QuerySerializer, IF_MATCH],
        request=TemplateBody,
        examples=TEMPLATE_EXAMPLES,
        responses=SavedTemplate,
    )
    def put(self, request: Request, template_id: str) -> Response:
        """Replace the whole template; another definition makes a new version, and running executions keep theirs.

        With `If-Match` it is refused (412) if the template was changed meanwhile.
        """
        read_query(QuerySerializer, request)
        template = readable_template(request, template_id)
        user = current_user(request)
        require(user, template.workspace, Action.TEMPLATE_UPDATE, owner_id=template.owner_id)
        draft = read_template(request.data)
        findings = validate_definition(draft.definition, template.workspace, template)
        if_match = _tags(request, "If-Match")
        add_version(template=template, actor=user, body=draft, findings=findings, if_match=if_match)
        return _saved(get_template(template.workspace, template_id), findings)

    @extend_schema(
        summary="Archive a template", tags=TAGS, parameters=[QuerySerializer, IF_MATCH], responses={204: None}
    )
    def delete(self, request: Request, template_id: str) -> Response:
        """Take the template out of use. Its executions go on, and stay readable."""
        read_query(QuerySerializer, request)
        template = readable_template(request, template_id)
        archive_template(template=template, actor=current_user(request), if_match=_tags(request, "If-Match"))
        return Response(status=204)


class PublishView(APIView):
    """A template's way from draft to active."""

    @extend_schema(
        summary="Publish a template",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=None,
        responses=TemplateShape,
    )
    def post(self, request: Request, template_id: str) -> Response:
        """Make the template active; refused (422) with every error its definition has."""
        read_query(QuerySerializer, request)
        template = publish_template(
            template=readable_template(request, template_id), actor=current_user(request)
        )
        shape = template_document(template, current_version(template))
        return Response(TemplateShape(shape).data, headers={"ETag": etag_of(template)})


class ValidateView(APIView):
    """The check of a stored template."""

    @extend_schema(
        summary="Validate a template",
        tags=TAGS,
        parameters=[VersionQuery],
        request=None,
        responses=Validation,
    )
    def post(self, request: Request, template_id: str) -> Response:
        """Say whether the template may run on this server as it is now, and what stands in its way."""
        query = read_query(VersionQuery, request)
        template = readable_template(request, template_id)
        definition = load_definition(get_version(template, query.get("version")).definition)
        findings = validate_definition(definition, template.workspace, template)
        return Response(Validation(validation_document(findings)).data)


class ValidateBodyView(APIView):
    """The check of a template nobody has saved."""

    @extend_schema(
        summary="Validate a body",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=TemplateBody,
        examples=TEMPLATE_EXAMPLES,
        responses=Validation,
        operation_id="templates_validate_body",
    )
    def post(self, request: Request) -> Response:
        """Say what creating a template from this body would find; nothing is saved."""
        read_query(QuerySerializer, request)
        workspace = workspace_of(request, body=_named_workspace(request))
        require(current_user(request), workspace, Action.TEMPLATE_CREATE)
        findings: tuple[Problem, ...]
        try:
            findings = validate_definition(read_template(request.data).definition, workspace)
        except (InvalidDefinition, TemplateBodyInvalid) as error:
            findings = error.problems
        return Response(Validation(validation_document(findings)).data)


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
        rows = list_versions(template)
        limit, offset = query["limit"], query["offset"]
        page = {
            "versions": rows[offset : offset + limit],
            "total": rows.count(),
            "limit": limit,
            "offset": offset,
        }
        return Response(VersionList(page | {"template_id": template.public_id}).data)


class DslView(APIView):
    """A template in its other spelling."""

    @extend_schema(summary="Read a template as DSL", tags=TAGS, parameters=[VersionQuery], responses=DslShape)
    def get(self, request: Request, template_id: str) -> Response:
        """Give the graph as DSL text, and beside it what the DSL does not say; posted back, it is the same."""
        query = read_query(VersionQuery, request)
        template = readable_template(request, template_id)
        version = get_version(template, query.get("version"))
        definition = load_definition(version.definition)
        shape = {
            "template_id": template.public_id,
            "version": version.label,
            "dsl": render_dsl(definition),
            "states": states_of(definition),
            "input_schema": definition.input_schema,
            "global_settings": settings_document(version.definition.get("globalSettings", {})),
        }
        return Response(DslShape(shape).data)


def readable_template(request: Request, template_id: str) -> Template:
    """Return the template a request is about, if its user may read it there."""
    workspace = workspace_of(request, holding=Template.objects.filter(public_id=template_id))
    require(current_user(request), workspace, Action.TEMPLATE_READ)
    return get_template(workspace, template_id)


def _named_workspace(request: Request) -> dict[str, object]:
    body = request.data if isinstance(request.data, dict) else {}
    named = body.get("workspaceId") or body.get("workspace_id")
    return {"workspace_id": named} if isinstance(named, str) else {}


def _tags(request: Request, header: str) -> list[str]:
    return [tag.strip() for tag in request.headers.get(header, "").split(",") if tag.strip()]


def _saved(template: Template, findings: tuple[Finding, ...], status: int = 200) -> Response:
    shape = template_document(template, current_version(template))
    shape["findings"] = [issue_document(one) for one in findings]
    headers = {"ETag": etag_of(template), "Location": f"/api/v1/templates/{template.public_id}"}
    return Response(SavedTemplate(shape).data, status=status, headers=headers)

"""Templates over HTTP: document A section 5.1."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from templates_app.api.examples import TEMPLATE_EXAMPLES
from templates_app.api.requests import (
    IF_MATCH,
    IF_NONE_MATCH,
    if_match,
    if_none_match,
    named_workspace,
    narrowed_by,
    readable_template,
    saved_response,
    template_response,
)
from templates_app.api.serializers import (
    CategoryList,
    CloneBody,
    DslShape,
    SavedTemplate,
    TagList,
    TemplateList,
    TemplateListQuery,
    TemplateShape,
    Validation,
    VersionQuery,
    settings_document,
    template_document,
    template_entry,
    validation_document,
)
from templates_app.bodies import TemplateBody, TemplateHeader, read_template
from templates_app.deprecation import deprecation_findings
from templates_app.selectors import (
    etag_of,
    get_template,
    get_version,
    list_categories,
    list_tags,
    list_templates,
)
from templates_app.services.body_validation import validate_body
from templates_app.services.statuses import archive_template
from templates_app.services.templates import add_version, change_header, clone_template, create_template
from templates_app.services.validation import validate_definition
from templates_app.sharing import require_on
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.accounts.throttles import CreationThrottle
from workflow_service.api_serializers import QuerySerializer, page_of, read_body, read_query
from workflow_service.engine.documents import load_definition
from workflow_service.engine.dsl import render_dsl, states_of

TAGS = ["templates"]


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
        """List the workspace's templates: the newest first, or what is searched for best first."""
        query = read_query(TemplateListQuery, request)
        workspace, user = workspace_of(request), current_user(request)
        require(user, workspace, Action.TEMPLATE_READ)
        rows = list_templates(workspace, narrowed_by(query, user), ordering=query.get("ordering"))
        page = page_of("templates", rows, query, lambda some: [template_entry(one) for one in some])
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
        user, workspace = current_user(request), workspace_of(request, body=named_workspace(request))
        require(user, workspace, Action.TEMPLATE_CREATE)
        draft = read_template(request.data)
        findings = validate_definition(draft.definition, workspace, files=draft.files)
        template = create_template(workspace=workspace, actor=user, body=draft, findings=findings)
        return saved_response(template, findings, status=201)


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
        if etag_of(template) in if_none_match(request) and "version" not in query:
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
        require_on(template, user, Action.TEMPLATE_UPDATE)
        draft = read_template(request.data)
        findings = validate_definition(draft.definition, template.workspace, template, draft.files)
        add_version(template=template, actor=user, body=draft, findings=findings, if_match=if_match(request))
        return saved_response(get_template(template.workspace, template_id), findings)

    @extend_schema(
        summary="Change a template's header",
        tags=TAGS,
        parameters=[QuerySerializer, IF_MATCH],
        request=TemplateHeader,
        responses=TemplateShape,
    )
    def patch(self, request: Request, template_id: str) -> Response:
        """Change name, description, category, tags or metadata; what is left out stays, and the version too."""
        read_query(QuerySerializer, request)
        template = change_header(
            template=readable_template(request, template_id),
            actor=current_user(request),
            body=dict(request.data),
            if_match=if_match(request),
        )
        return template_response(template)

    @extend_schema(
        summary="Archive a template", tags=TAGS, parameters=[QuerySerializer, IF_MATCH], responses={204: None}
    )
    def delete(self, request: Request, template_id: str) -> Response:
        """Take the template out of use. Its executions go on, and stay readable."""
        read_query(QuerySerializer, request)
        template = readable_template(request, template_id)
        archive_template(template=template, actor=current_user(request), if_match=if_match(request))
        return Response(status=204)


class CloneView(APIView):
    """A template made from another."""

    throttle_classes = (CreationThrottle,)

    @extend_schema(
        summary="Clone a template",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=CloneBody,
        responses={201: TemplateShape},
    )
    def post(self, request: Request, template_id: str) -> Response:
        """Make a template of your own that says what this one does, or what a version of it did."""
        read_query(QuerySerializer, request)
        body, template = read_body(CloneBody, request), readable_template(request, template_id)
        clone = clone_template(
            template=template,
            actor=current_user(request),
            name=body.get("name", ""),
            version=get_version(template, body.get("version")),
        )
        return template_response(clone, status=201)


class CategoriesView(APIView):
    """The categories in use."""

    @extend_schema(summary="List categories", tags=TAGS, parameters=[QuerySerializer], responses=CategoryList)
    def get(self, request: Request) -> Response:
        """List the categories of the workspace's templates, archived ones apart, with their numbers."""
        read_query(QuerySerializer, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.TEMPLATE_READ)
        entries = [{"category": name, "count": count} for name, count in list_categories(workspace)]
        return Response(CategoryList({"categories": entries}).data)


class TagsView(APIView):
    """The tags in use."""

    @extend_schema(summary="List tags", tags=TAGS, parameters=[QuerySerializer], responses=TagList)
    def get(self, request: Request) -> Response:
        """List the tags of the workspace's templates, archived ones apart, the most used first."""
        read_query(QuerySerializer, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.TEMPLATE_READ)
        entries = [{"tag": name, "count": count} for name, count in list_tags(workspace)]
        return Response(TagList({"tags": entries}).data)


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
        findings += deprecation_findings(template)
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
        """Say what creating a template from this body would find, all at once; nothing is saved."""
        read_query(QuerySerializer, request)
        workspace = workspace_of(request, body=named_workspace(request))
        require(current_user(request), workspace, Action.TEMPLATE_CREATE)
        findings = validate_body(request.data, workspace)
        return Response(Validation(validation_document(findings)).data)


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

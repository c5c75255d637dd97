"""Workflows over HTTP: document B section 7.1. A workflow is a template seen through another door."""

import json
from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions_app.statistics import TemplateStatistics, template_statistics
from templates_app.api.requests import IF_MATCH, if_match
from templates_app.models import Template
from templates_app.selectors import (
    TemplateFilter,
    current_version,
    etag_of,
    get_version,
    list_templates,
)
from templates_app.services.statuses import archive_template
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.accounts.throttles import CreationThrottle, LlmThrottle
from workflow_service.api_serializers import SnakeQuery, page_of, read_body, read_query
from workflow_service.idempotent_posts import idempotent_post
from workflow_service.workflows_api.advice import advice_on
from workflow_service.workflows_api.bodies import ChangedWorkflowBody, NewWorkflowBody
from workflow_service.workflows_api.documents import (
    design_document,
    findings_document,
    workflow_document,
    workflow_entry,
)
from workflow_service.workflows_api.examples import CHANGED_EXAMPLE, NEW_EXAMPLES
from workflow_service.workflows_api.requests import readable_workflow
from workflow_service.workflows_api.serializers import (
    ArchivedShape,
    SavedWorkflowShape,
    WorkflowList,
    WorkflowListQuery,
    WorkflowShape,
    WorkflowVersionQuery,
    archived_document,
)
from workflow_service.workflows_api.services.workflows import (
    SavedWorkflow,
    change_workflow,
    create_workflow,
)

TAGS = ["workflows"]


class WorkflowsView(APIView):
    """The workflows of a workspace."""

    throttle_classes = (CreationThrottle, LlmThrottle)
    # What a language model may cost is reserved and booked in transactions of its own.
    commits_itself = True

    @extend_schema(
        summary="List workflows",
        operation_id="workflows_list",
        tags=TAGS,
        parameters=[WorkflowListQuery],
        responses=WorkflowList,
    )
    def get(self, request: Request) -> Response:
        """List the workspace's workflows: the newest first, or what is searched for best first."""
        query = read_query(WorkflowListQuery, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.TEMPLATE_READ)
        page = page_of("workflows", list_templates(workspace, _narrowed_by(query)), query, _entries)
        return Response(WorkflowList(page).data)

    @extend_schema(
        summary="Create a workflow",
        tags=TAGS,
        parameters=[SnakeQuery],
        request=NewWorkflowBody,
        examples=NEW_EXAMPLES,
        responses={201: SavedWorkflowShape},
        operation_id="workflows_create",
    )
    def post(self, request: Request) -> Response:
        """Create a workflow from plain English, or from `dsl` with `states`.

        It is `active` at once if it is valid and every state has work behind it; else it is saved as `draft`, with the
        reasons under `findings`.
        """
        read_query(SnakeQuery, request)
        body = read_body(NewWorkflowBody, request)
        workspace = workspace_of(request, body=body)
        post = idempotent_post(request)

        def confirm(saved: SavedWorkflow) -> None:
            if post is not None:
                answer = JSONRenderer().render(_saved_shape(saved))
                post.record(201, json.loads(answer), _headers(saved.template))

        saved = create_workflow(workspace=workspace, actor=current_user(request), body=body, confirm=confirm)
        return Response(_saved_shape(saved), status=201, headers=_headers(saved.template))


class WorkflowView(APIView):
    """One workflow."""

    @extend_schema(
        summary="Read a workflow",
        tags=TAGS,
        parameters=[WorkflowVersionQuery],
        responses=WorkflowShape,
        operation_id="workflows_read",
    )
    def get(self, request: Request, workflow_id: str) -> Response:
        """Give the workflow in its current version, or in the one `version` names, with how its runs went."""
        query = read_query(WorkflowVersionQuery, request)
        template = readable_workflow(request, workflow_id)
        version = get_version(template, query.get("version"))
        shape = workflow_document(template, version, _statistics(template), advice_on(template, version))
        return Response(WorkflowShape(shape).data, headers={"ETag": etag_of(template)})

    @extend_schema(
        summary="Change a workflow",
        tags=TAGS,
        parameters=[SnakeQuery, IF_MATCH],
        request=ChangedWorkflowBody,
        examples=[CHANGED_EXAMPLE],
        responses=SavedWorkflowShape,
        operation_id="workflows_change",
    )
    def put(self, request: Request, workflow_id: str) -> Response:
        """Change what the body names; what is left out stays.

        Another graph makes a new version, and running executions keep theirs. With `dsl` the states that it still has
        keep what they do, unless `states` says otherwise. With `If-Match` it is refused (412) if the workflow was
        changed meanwhile.
        """
        read_query(SnakeQuery, request)
        body = read_body(ChangedWorkflowBody, request)
        template = readable_workflow(request, workflow_id)
        saved = change_workflow(
            template=template, actor=current_user(request), body=body, if_match=if_match(request)
        )
        return Response(_saved_shape(saved), headers={"ETag": etag_of(saved.template)})

    @extend_schema(
        summary="Archive a workflow",
        tags=TAGS,
        parameters=[SnakeQuery, IF_MATCH],
        responses=ArchivedShape,
        operation_id="workflows_archive",
    )
    def delete(self, request: Request, workflow_id: str) -> Response:
        """Take the workflow out of use. Its executions go on, and stay readable."""
        read_query(SnakeQuery, request)
        template = readable_workflow(request, workflow_id)
        archive_template(template=template, actor=current_user(request), if_match=if_match(request))
        return Response(ArchivedShape(archived_document(template)).data)


def _narrowed_by(query: Mapping[str, Any]) -> TemplateFilter:
    return TemplateFilter(
        status=query.get("status"),
        owner_id=query.get("owner_id"),
        tags=[tag.strip() for tag in query.get("tags", "").split(",") if tag.strip()],
        search=query.get("search"),
    )


def _entries(templates: list[Template]) -> list[dict[str, Any]]:
    statistics = template_statistics([template.pk for template in templates])
    return [workflow_entry(template, statistics[template.pk]) for template in templates]


def _statistics(template: Template) -> TemplateStatistics:
    return template_statistics([template.pk])[template.pk]


def _saved_shape(saved: SavedWorkflow) -> dict[str, Any]:
    template = saved.template
    version = current_version(template)
    shape = workflow_document(template, version, _statistics(template), advice_on(template, version))
    shape |= {"findings": findings_document(saved.findings)} | design_document(saved.design)
    return dict(SavedWorkflowShape(shape).data)


def _headers(template: Template) -> dict[str, str]:
    return {"ETag": etag_of(template), "Location": f"/api/v1/workflows/{template.pk}"}

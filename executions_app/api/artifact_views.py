"""The files that an execution made, over HTTP."""

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions_app.api.requests import readable_execution
from workflow_service.api_serializers import PageQuery, page_of, read_query
from workflow_service.artifacts.api.serializers import ArtifactList, artifact_document
from workflow_service.artifacts.selectors import artifacts_of_execution


class ExecutionArtifactsView(APIView):
    """What a run made."""

    @extend_schema(
        summary="List the artifacts of an execution",
        operation_id="executions_artifacts_list",
        tags=["executions"],
        parameters=[PageQuery],
        responses=ArtifactList,
    )
    def get(self, request: Request, execution_id: str) -> Response:
        """List the files that the run's blocks made, in the order in which they made them."""
        query = read_query(PageQuery, request)
        execution = readable_execution(request, execution_id)
        rows = artifacts_of_execution(execution.workspace_id, execution.public_id, timezone.now())
        rows = rows.select_related("created_by")
        page = page_of("artifacts", rows, query, lambda some: [artifact_document(row) for row in some])
        return Response(ArtifactList(page).data)

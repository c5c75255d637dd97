"""Every time a block of a run ran: rounds of loops, items of maps, generations of restarts."""

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions_app.api.documents import block_runs
from executions_app.api.requests import readable_execution
from executions_app.api.serializers import BlockRunList, BlockRunQuery
from executions_app.selectors import list_block_runs
from workflow_service.api_serializers import page_of, read_query

TAGS = ["executions"]


class BlockRunsView(APIView):
    """The block executions of a run."""

    @extend_schema(
        summary="List the block executions of a run",
        tags=TAGS,
        parameters=[BlockRunQuery],
        responses=BlockRunList,
    )
    def get(self, request: Request, execution_id: str) -> Response:
        """List every round and every item, in the order they came up.

        Reading the execution gives the last round of each block only, and no items.
        """
        query = read_query(BlockRunQuery, request)
        execution = readable_execution(request, execution_id)
        rows = list_block_runs(
            execution,
            block_id=query.get("block_id"),
            status=query.get("status"),
            superseded=query["superseded"],
        )
        now = timezone.now()
        page = page_of("block_executions", rows, query, lambda some: block_runs(execution, some, now))
        return Response(BlockRunList(page).data)

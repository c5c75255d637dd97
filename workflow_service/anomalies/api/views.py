"""What was unusual about runs, and how probable it is that one fails, over HTTP."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions_app.api.requests import readable_execution
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.anomalies.api.serializers import (
    AnomalyList,
    AnomalyListQuery,
    PredictionShape,
    anomaly_document,
    prediction_document,
)
from workflow_service.anomalies.prediction import predict
from workflow_service.anomalies.selectors import list_anomalies
from workflow_service.api_serializers import QuerySerializer, page_of, read_query


class AnomaliesView(APIView):
    """What was unusual about the runs of a workspace."""

    @extend_schema(
        summary="List anomalies",
        operation_id="anomalies_list",
        tags=["anomalies"],
        parameters=[AnomalyListQuery],
        responses=AnomalyList,
    )
    def get(self, request: Request) -> Response:
        """List what was unusual about runs, the newest first, each with what was expected and why."""
        query = read_query(AnomalyListQuery, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.EXECUTION_READ)
        asked = {name: query.get(name) for name in ("template_id", "execution_id", "kind")}
        rows = list_anomalies(workspace, **asked)
        page = page_of("anomalies", rows, query, lambda some: [anomaly_document(one) for one in some])
        return Response(AnomalyList(page).data)


class PredictionView(APIView):
    """The risk that a run fails."""

    @extend_schema(
        summary="Predict whether a run fails",
        operation_id="executions_prediction",
        tags=["anomalies"],
        parameters=[QuerySerializer],
        responses=PredictionShape,
    )
    def get(self, request: Request, execution_id: str) -> Response:
        """Say how probable it is that a run fails, by what, and how good such predictions were on later runs."""
        read_query(QuerySerializer, request)
        execution = readable_execution(request, execution_id)
        return Response(PredictionShape(prediction_document(execution, predict(execution))).data)

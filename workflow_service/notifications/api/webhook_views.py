"""Webhook endpoints over HTTP, and what was sent to them."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.api_serializers import PageQuery, QuerySerializer, page_of, read_body, read_query
from workflow_service.notifications.api.serializers import (
    DeliveryDetails,
    DeliveryList,
    DeliveryQuery,
    DeliveryShape,
    NewWebhook,
    ReplayAnswer,
    ReplayBody,
    WebhookChange,
    WebhookList,
    WebhookSecretShape,
    WebhookShape,
    WebhookWithSecret,
)
from workflow_service.notifications.models import WebhookEndpoint
from workflow_service.notifications.selectors import (
    get_delivery,
    get_endpoint,
    list_deliveries,
    list_endpoints,
)
from workflow_service.notifications.services.endpoints import (
    change_endpoint,
    create_endpoint,
    delete_endpoint,
    replay_delivery,
    replay_failed,
    rotate_secret,
    send_test,
)

TAGS = ["webhooks"]


class WebhooksView(APIView):
    """The webhook endpoints of a workspace."""

    keeps_answer = False

    @extend_schema(
        summary="List webhook endpoints",
        operation_id="webhooks_list",
        tags=TAGS,
        parameters=[PageQuery],
        responses=WebhookList,
    )
    def get(self, request: Request) -> Response:
        """List the workspace's endpoints, newest first. Secrets are never given."""
        query = read_query(PageQuery, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.WEBHOOK_READ)
        rows = list_endpoints(workspace)
        return Response(WebhookList(page_of("webhooks", rows, query)).data)

    @extend_schema(
        summary="Register a webhook endpoint",
        tags=TAGS,
        request=NewWebhook,
        responses={201: WebhookWithSecret},
    )
    def post(self, request: Request) -> Response:
        """Register an address that is told about topics; the answer holds the secret that messages are signed with."""
        body = read_body(NewWebhook, request)
        endpoint, secret = create_endpoint(
            workspace=workspace_of(request, body=body),
            actor=current_user(request),
            url=body["url"],
            topics=body["topics"],
            description=body.get("description", ""),
        )
        shown = {**WebhookShape(endpoint).data, "secret": secret}
        headers = {"Location": f"/api/v1/webhooks/{endpoint.public_id}"}
        return Response(shown, status=201, headers=headers)


class WebhookView(APIView):
    """One webhook endpoint."""

    @extend_schema(
        summary="Read a webhook endpoint", tags=TAGS, parameters=[QuerySerializer], responses=WebhookShape
    )
    def get(self, request: Request, endpoint_id: str) -> Response:
        """Say where it is, what it is told, and whether it answers."""
        return Response(WebhookShape(_readable(request, endpoint_id)).data)

    @extend_schema(
        summary="Change a webhook endpoint",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=WebhookChange,
        responses=WebhookShape,
    )
    def patch(self, request: Request, endpoint_id: str) -> Response:
        """Change what is given. Switched off, what waits for it is given up; a replay sends it after all."""
        endpoint = _readable(request, endpoint_id)
        body = read_body(WebhookChange, request)
        changed = change_endpoint(endpoint=endpoint, actor=current_user(request), **body)
        return Response(WebhookShape(changed).data)

    @extend_schema(
        summary="Delete a webhook endpoint", tags=TAGS, parameters=[QuerySerializer], responses={204: None}
    )
    def delete(self, request: Request, endpoint_id: str) -> Response:
        """Delete it with its deliveries; what waits is not sent."""
        delete_endpoint(endpoint=_readable(request, endpoint_id), actor=current_user(request))
        return Response(status=204)


class WebhookSecretView(APIView):
    """The secret of one endpoint."""

    keeps_answer = False

    @extend_schema(
        summary="Give a webhook endpoint another secret",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=None,
        responses=WebhookSecretShape,
    )
    def post(self, request: Request, endpoint_id: str) -> Response:
        """Make a new secret; for 24 hours messages bear the signatures of both."""
        secret = rotate_secret(endpoint=_readable(request, endpoint_id), actor=current_user(request))
        return Response(WebhookSecretShape({"secret": secret}).data)


class WebhookTestView(APIView):
    """A message to try an endpoint out."""

    @extend_schema(
        summary="Send a test message",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=None,
        responses={202: DeliveryShape},
    )
    def post(self, request: Request, endpoint_id: str) -> Response:
        """Send a message of the type `webhook_test`; its delivery says what came of it."""
        made = send_test(endpoint=_readable(request, endpoint_id), actor=current_user(request))
        return Response(DeliveryShape(made).data, status=202)


class WebhookReplayView(APIView):
    """What an endpoint missed."""

    @extend_schema(
        summary="Replay what an endpoint missed",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=ReplayBody,
        responses={202: ReplayAnswer},
    )
    def post(self, request: Request, endpoint_id: str) -> Response:
        """Send again, under the ids they had, the messages that were given up since a moment."""
        endpoint = _readable(request, endpoint_id)
        since = read_body(ReplayBody, request)["since"]
        replayed = replay_failed(endpoint=endpoint, actor=current_user(request), since=since)
        return Response(ReplayAnswer({"replayed": replayed}).data, status=202)


class DeliveriesView(APIView):
    """What was sent to an endpoint."""

    @extend_schema(
        summary="List deliveries of a webhook endpoint",
        operation_id="webhook_deliveries_list",
        tags=TAGS,
        parameters=[DeliveryQuery],
        responses=DeliveryList,
    )
    def get(self, request: Request, endpoint_id: str) -> Response:
        """List what was sent, newest first, and what came of it; it is kept for 90 days."""
        query = read_query(DeliveryQuery, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.WEBHOOK_READ)
        rows = list_deliveries(get_endpoint(workspace, endpoint_id), query.get("status")).defer("body")
        return Response(DeliveryList(page_of("deliveries", rows, query)).data)


class DeliveryView(APIView):
    """One delivery."""

    @extend_schema(
        summary="Read a delivery", tags=TAGS, parameters=[QuerySerializer], responses=DeliveryDetails
    )
    def get(self, request: Request, endpoint_id: str, delivery_id: str) -> Response:
        """Say what is sent, and what came of it."""
        return Response(DeliveryDetails(get_delivery(_readable(request, endpoint_id), delivery_id)).data)


class DeliveryReplayView(APIView):
    """One delivery, again."""

    @extend_schema(
        summary="Replay a delivery",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=None,
        responses={202: DeliveryShape},
    )
    def post(self, request: Request, endpoint_id: str, delivery_id: str) -> Response:
        """Send it again under the id that it had, whether it was taken or not."""
        endpoint = _readable(request, endpoint_id)
        again = replay_delivery(endpoint=endpoint, actor=current_user(request), delivery_id=delivery_id)
        return Response(DeliveryShape(again).data, status=202)


def _readable(request: Request, endpoint_id: str) -> WebhookEndpoint:
    read_query(QuerySerializer, request)
    workspace = workspace_of(request)
    require(current_user(request), workspace, Action.WEBHOOK_READ)
    return get_endpoint(workspace, endpoint_id)

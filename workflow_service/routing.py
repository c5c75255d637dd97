"""Every WebSocket address of the service; who is there is known before any of them is reached."""

from channels.routing import URLRouter
from django.urls import path

from approvals_app.consumers import ApprovalsConsumer
from workflow_service.accounts.sockets import authenticated
from workflow_service.workflows_api.consumers import WorkflowExecutionConsumer

websocket_application = authenticated(
    URLRouter(
        [
            path("ws/approvals", ApprovalsConsumer.as_asgi()),
            path("ws/executions/<str:execution_id>", WorkflowExecutionConsumer.as_asgi()),
        ]
    )
)

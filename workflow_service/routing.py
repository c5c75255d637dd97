"""Every WebSocket address of the service; who is there is known before any of them is reached."""

from channels.routing import URLRouter
from django.urls import path

from approvals_app.consumers import ApprovalsConsumer
from executions_app.consumers import ExecutionConsumer
from workflow_service.accounts.sockets import authenticated

websocket_application = authenticated(
    URLRouter(
        [
            path("ws/approvals", ApprovalsConsumer.as_asgi()),
            path("ws/executions/<str:execution_id>", ExecutionConsumer.as_asgi()),
        ]
    )
)

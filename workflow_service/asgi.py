"""The web process: Django over HTTP, Channels over WebSocket."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workflow_service.settings.development")
# Under ASGI connections are pooled; set before the settings are read.
os.environ.setdefault("DATABASE_POOL", "true")

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

http_application = get_asgi_application()

from workflow_service.routing import websocket_application  # noqa: E402

application = ProtocolTypeRouter({"http": http_application, "websocket": websocket_application})

"""Bare Channels: a socket that passes on what its group is sent. The floor for sockets of the service."""

import os

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workflow_service.settings.development")
GROUP = "bare"


class BareConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Sends the text of each message of the group."""

    groups = (GROUP,)

    async def bare_news(self, message: dict[str, str]) -> None:
        await self.send(text_data=message["text"])


application = ProtocolTypeRouter({"websocket": BareConsumer.as_asgi()})

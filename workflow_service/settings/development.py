"""Development and demo: the embedded servers where no URL is given, on loopback."""

from workflow_service.settings.common import *  # noqa: F403

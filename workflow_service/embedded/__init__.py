"""A private Postgres and Redis from wheels, and the supervisor of the whole stack: demo, development and
tests.

No Django in this package: it runs before any settings can be complete, for it is what the settings' URLs come
from.
"""

from workflow_service.embedded.services import RunningServices, ServiceUrls, read_services, start_services

__all__ = ["RunningServices", "ServiceUrls", "read_services", "start_services"]

"""Rate limits: fixed windows counted in Redis, per user, per API key or per address.

Reads are not counted. Where Redis does not answer nothing is counted and the request passes: limits protect
the service from load, and must not be what stops it.
"""

import logging
import time
from typing import ClassVar

from django.core.cache import cache
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from workflow_service.accounts.models import Membership, User
from workflow_service.settings.config import get_config

logger = logging.getLogger(__name__)


class WindowThrottle(BaseThrottle):
    """At most ``limit`` requests of one asker in each window of ``window_s`` seconds."""

    scope: ClassVar[str]
    window_s: ClassVar[int]

    def limit(self) -> int:
        """Return how many requests a window allows."""
        raise NotImplementedError

    def asker(self, request: Request) -> str:
        """Return whose requests are counted together."""
        user = request.user
        if isinstance(user, User):
            return user.acting_key.prefix if user.acting_key else user.public_id
        return str(self.get_ident(request))

    def raised_limit(self, request: Request) -> int:
        """Return the limit of this asker once the common one is used up."""
        return self.limit()

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count the request; False once the window is full."""
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return True
        count = self._count(self.asker(request))
        return count <= self.limit() or count <= self.raised_limit(request)

    def wait(self) -> float:
        """Return the seconds until the next window."""
        return self.window_s - time.time() % self.window_s

    def _count(self, asker: str) -> int:
        key = f"throttle:{self.scope}:{asker}:{int(time.time() // self.window_s)}"
        try:
            cache.add(key, 0, timeout=self.window_s * 2)
            return int(cache.incr(key))
        except (RedisError, ValueError):
            logger.warning("Rate limits are not counted: Redis does not answer")
            return 0


class LoginThrottle(WindowThrottle):
    """Tries to sign in, per address."""

    scope = "login"
    window_s = 900

    def limit(self) -> int:
        return get_config().rate_limit_logins_per_15_min

    def asker(self, request: Request) -> str:
        return str(self.get_ident(request))


class CallbackThrottle(WindowThrottle):
    """Callbacks of agents, per address: their token is all they have to show."""

    scope = "callback"
    window_s = 60

    def limit(self) -> int:
        return get_config().rate_limit_callbacks_per_min

    def asker(self, request: Request) -> str:
        return str(self.get_ident(request))


class UserThrottle(WindowThrottle):
    """Writes per user or API key; users with an elevated role have the limit many times over."""

    window_s = 3_600

    def raised_limit(self, request: Request) -> int:
        config = get_config()
        if not isinstance(request.user, User):
            return self.limit()
        elevated = Membership.objects.filter(
            user=request.user, role__in=config.rate_limit_elevated_roles
        ).exists()
        return self.limit() * (config.rate_limit_elevated_factor if elevated else 1)


class ExecutionThrottle(UserThrottle):
    """Starts of executions."""

    scope = "execution"

    def limit(self) -> int:
        return get_config().rate_limit_executions_per_h


class LlmThrottle(UserThrottle):
    """Requests that ask a language model at once; what runs ask is bounded by budgets."""

    scope = "llm"
    window_s = 86_400

    def limit(self) -> int:
        return get_config().rate_limit_llm_calls_per_day


class CreationThrottle(UserThrottle):
    """New templates."""

    scope = "creation"

    def limit(self) -> int:
        return get_config().rate_limit_creations_per_h

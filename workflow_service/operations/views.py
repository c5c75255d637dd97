"""Health and metrics over HTTP, and the landing page.

Health answers anybody: probes have no credentials, and it tells no more than whether parts answer. Metrics
answer processes on the same machine, and whoever may view operations in some workspace.
"""

import ipaddress
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from rest_framework import serializers
from rest_framework.exceptions import NotAuthenticated
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from workflow_service.accounts.errors import Forbidden
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action, allows
from workflow_service.accounts.selectors import list_workspaces
from workflow_service.api_serializers import CamelSerializer
from workflow_service.operations.health import (
    Check,
    check_cache,
    check_database,
    check_migrations,
    check_scripts,
    check_services,
)
from workflow_service.operations.metrics import render_metrics
from workflow_service.settings.config import get_config

TAGS = ["operations"]


class Health(CamelSerializer):
    status = serializers.CharField()
    timestamp = serializers.DateTimeField()


class CheckShape(CamelSerializer):
    name = serializers.CharField()
    healthy = serializers.BooleanField()
    required = serializers.BooleanField(  # type: ignore[assignment]
        help_text="The service is not ready without it."
    )
    latency_ms = serializers.FloatField()
    detail = serializers.CharField(allow_blank=True)


class Readiness(Health):
    checks = serializers.DictField(child=serializers.BooleanField())
    details = CheckShape(many=True)


class AnyContentNegotiation(BaseContentNegotiation):
    """Answers in the one form there is, whatever a probe or a scraper asks for."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class OpenView(APIView):
    """Answers anybody, without looking who asks."""

    authentication_classes: Any = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = AnyContentNegotiation


class LiveView(OpenView):
    """The process."""

    @extend_schema(summary="Liveness", tags=TAGS, auth=[], responses=Health)
    def get(self, request: Request) -> Response:
        """Say that the process answers; nothing else is looked at."""
        return Response(Health({"status": "alive", "timestamp": timezone.now()}).data)


class HealthView(OpenView):
    """The service."""

    @extend_schema(summary="Health", tags=TAGS, auth=[], responses=Health)
    def get(self, request: Request) -> Response:
        """Say whether database and Redis answer; 503 if one does not."""
        return _health((check_database(), check_cache()), "healthy", "unhealthy", Health)


class ReadyView(OpenView):
    """The service's readiness for traffic."""

    @extend_schema(summary="Readiness", tags=TAGS, auth=[], responses={200: Readiness, 503: Readiness})
    def get(self, request: Request) -> Response:
        """Look at everything; 503 if something required does not answer. The LLM does not gate readiness."""
        checks = (check_database(), check_migrations(), check_cache(), *check_services())
        return _health(checks, "ready", "not_ready", Readiness)


class DatabaseHealthView(OpenView):
    """Postgres."""

    @extend_schema(
        summary="Health of the database", tags=TAGS, auth=[], responses={200: Readiness, 503: Readiness}
    )
    def get(self, request: Request) -> Response:
        """Look at the database and its migrations."""
        return _health((check_database(), check_migrations()), "healthy", "unhealthy", Readiness)


class DependenciesHealthView(OpenView):
    """Everything beside the database."""

    @extend_schema(
        summary="Health of dependencies", tags=TAGS, auth=[], responses={200: Readiness, 503: Readiness}
    )
    def get(self, request: Request) -> Response:
        """Look at Redis, the LLM, agent and state services that are configured, and the isolation of scripts."""
        return _health((check_cache(), *check_services(), check_scripts()), "healthy", "unhealthy", Readiness)


class MetricsView(APIView):
    """Metrics for Prometheus."""

    permission_classes = (AllowAny,)
    content_negotiation_class = AnyContentNegotiation

    @extend_schema(summary="Metrics", tags=TAGS, responses={(200, "text/plain"): OpenApiTypes.STR})
    def get(self, request: Request) -> HttpResponse:
        """Give the metrics in Prometheus' text form."""
        if not _asked_on_this_machine(request):
            _require_operations_view(request)
        return HttpResponse(render_metrics(), content_type=CONTENT_TYPE_LATEST)


def landing(request: HttpRequest) -> HttpResponse:
    """Show where everything is."""
    return render(request, "landing.html", {"flower_url": f"http://127.0.0.1:{get_config().flower_port}/"})


def _health(checks: tuple[Check, ...], good: str, bad: str, shape: type[Health]) -> Response:
    healthy = all(check.healthy for check in checks if check.required)
    body = {
        "status": good if healthy else bad,
        "timestamp": timezone.now(),
        "checks": {check.name: check.healthy for check in checks},
        "details": checks,
    }
    return Response(shape(body).data, status=200 if healthy else 503, headers={"Cache-Control": "no-store"})


def _asked_on_this_machine(request: Request) -> bool:
    """Say whether the peer is this machine itself; a request a proxy passed on is not."""
    if any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Real-Ip")):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def _require_operations_view(request: Request) -> None:
    user = request.user
    if not isinstance(user, User):
        raise NotAuthenticated
    if not any(allows(user, workspace, Action.OPERATIONS_VIEW) for workspace in list_workspaces(user)):
        raise Forbidden(
            f"'{user.get_username()}' has no permission '{Action.OPERATIONS_VIEW}' in any workspace"
        )

from django.urls import path

from workflow_service.accounts.api.audit_views import AuditView
from workflow_service.accounts.api.views import (
    ApiKeysView,
    ApiKeyView,
    MeView,
    TokenRefreshView,
    TokenView,
    WebSocketTicketsView,
    WorkspacesView,
)

urlpatterns = [
    path("auth/token", TokenView.as_view(), name="token"),
    path("auth/token/refresh", TokenRefreshView.as_view(), name="token-refresh"),
    path("auth/me", MeView.as_view(), name="me"),
    path("ws-tickets", WebSocketTicketsView.as_view(), name="ws-tickets"),
    path("workspaces", WorkspacesView.as_view(), name="workspaces"),
    path("api-keys", ApiKeysView.as_view(), name="api-keys"),
    path("audit", AuditView.as_view(), name="audit"),
    path("api-keys/<slug:prefix>", ApiKeyView.as_view(), name="api-key"),
]

"""Every HTTP address of the service."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("workflow_service.operations.urls")),
    path("approvals/", include("approvals_app.answer_urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("api/v1/", include("workflow_service.accounts.api.urls")),
    path("api/v1/", include("workflow_service.artifacts.api.urls")),
    path("api/v1/", include("workflow_service.agents.api.use_case_urls")),
    path("api/v1/", include("workflow_service.ai.api.urls")),
    path("api/v1/", include("workflow_service.vault.api.urls")),
    path("api/v1/", include("workflow_service.notifications.api.urls")),
    path("api/v1/", include("workflow_service.agents.api.urls")),
    path("api/v1/", include("templates_app.api.urls")),
    path("api/v1/", include("executions_app.api.urls")),
    path("api/v1/", include("workflow_service.decisions.api.urls")),
    path("api/v1/", include("workflow_service.analytics.api.urls")),
    path("api/v1/", include("workflow_service.experiments.api.urls")),
    path("api/v1/", include("workflow_service.advisor.api.urls")),
    path("api/v1/", include("workflow_service.anomalies.api.urls")),
    path("api/v1/", include("approvals_app.api.urls")),
    path("api/v1/", include("workflow_service.workflows_api.urls")),
]

handler400 = "workflow_service.api_errors.bad_request"
handler403 = "workflow_service.api_errors.permission_denied"
handler404 = "workflow_service.api_errors.not_found"
handler500 = "workflow_service.api_errors.server_error"

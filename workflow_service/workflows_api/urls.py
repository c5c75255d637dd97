from django.urls import path

from workflow_service.workflows_api.analytics_views import WorkflowAnalyticsView
from workflow_service.workflows_api.execute_views import ExecuteView
from workflow_service.workflows_api.explain_views import ExplainBodyView, ExplainView
from workflow_service.workflows_api.optimize_views import OptimizeView
from workflow_service.workflows_api.translate_views import TranslateView
from workflow_service.workflows_api.views import WorkflowsView, WorkflowView

urlpatterns = [
    path("workflows", WorkflowsView.as_view(), name="workflows"),
    path("workflows/translate", TranslateView.as_view(), name="workflows-translate"),
    path("workflows/explain", ExplainBodyView.as_view(), name="workflows-explain-body"),
    path("workflows/<slug:workflow_id>", WorkflowView.as_view(), name="workflow"),
    path("workflows/<slug:workflow_id>/execute", ExecuteView.as_view(), name="workflow-execute"),
    path("workflows/<slug:workflow_id>/optimize", OptimizeView.as_view(), name="workflow-optimize"),
    path(
        "workflows/<slug:workflow_id>/analytics", WorkflowAnalyticsView.as_view(), name="workflow-analytics"
    ),
    path("workflows/<slug:workflow_id>/explain", ExplainView.as_view(), name="workflow-explain"),
]

from django.urls import path

from workflow_service.workflows_api.explain_views import ExplainBodyView, ExplainView
from workflow_service.workflows_api.translate_views import TranslateView

urlpatterns = [
    path("workflows/translate", TranslateView.as_view(), name="workflows-translate"),
    path("workflows/explain", ExplainBodyView.as_view(), name="workflows-explain-body"),
    path("workflows/<slug:workflow_id>/explain", ExplainView.as_view(), name="workflow-explain"),
]

from django.urls import path

from workflow_service.analytics.api.views import OverviewView, TemplateAnalyticsView

urlpatterns = [
    path(
        "templates/<slug:template_id>/analytics", TemplateAnalyticsView.as_view(), name="template-analytics"
    ),
    path("analytics", OverviewView.as_view(), name="analytics"),
]

from django.urls import path

from workflow_service.anomalies.api.views import AnomaliesView, PredictionView

urlpatterns = [
    path("anomalies", AnomaliesView.as_view(), name="anomalies"),
    path("executions/<slug:execution_id>/prediction", PredictionView.as_view(), name="execution-prediction"),
]

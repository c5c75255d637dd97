from django.urls import path

from workflow_service.artifacts.api.views import ArtifactsView, ArtifactView, ContentView

urlpatterns = [
    path("artifacts", ArtifactsView.as_view(), name="artifacts"),
    path("artifacts/<slug:artifact_id>", ArtifactView.as_view(), name="artifact"),
    path("artifacts/<slug:artifact_id>/content", ContentView.as_view(), name="artifact-content"),
]

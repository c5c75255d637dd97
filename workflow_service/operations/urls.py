from django.urls import path

from workflow_service.operations.views import (
    DatabaseHealthView,
    DependenciesHealthView,
    HealthView,
    LiveView,
    MetricsView,
    ReadyView,
    landing,
)

urlpatterns = [
    path("", landing, name="landing"),
    path("health", HealthView.as_view(), name="health"),
    path("health/live", LiveView.as_view(), name="health-live"),
    path("health/ready", ReadyView.as_view(), name="health-ready"),
    path("ready", ReadyView.as_view(), name="ready"),
    path("health/database", DatabaseHealthView.as_view(), name="health-database"),
    path("health/dependencies", DependenciesHealthView.as_view(), name="health-dependencies"),
    path("metrics", MetricsView.as_view(), name="metrics"),
]

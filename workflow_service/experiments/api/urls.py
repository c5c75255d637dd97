from django.urls import path

from workflow_service.experiments.api.views import (
    ExperimentsView,
    ExperimentView,
    PromoteView,
    ResultsView,
    StartView,
    StopView,
)

EXPERIMENT = "experiments/<slug:experiment_id>"

urlpatterns = [
    path("experiments", ExperimentsView.as_view(), name="experiments"),
    path(EXPERIMENT, ExperimentView.as_view(), name="experiment"),
    path(f"{EXPERIMENT}/start", StartView.as_view(), name="experiment-start"),
    path(f"{EXPERIMENT}/stop", StopView.as_view(), name="experiment-stop"),
    path(f"{EXPERIMENT}/promote", PromoteView.as_view(), name="experiment-promote"),
    path(f"{EXPERIMENT}/results", ResultsView.as_view(), name="experiment-results"),
]

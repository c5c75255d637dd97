from django.urls import path

from workflow_service.decisions.api.views import (
    DecisionsView,
    DecisionView,
    ExecutionDecisionsView,
    OverrideView,
)

urlpatterns = [
    path(
        "executions/<slug:execution_id>/decisions",
        ExecutionDecisionsView.as_view(),
        name="execution-decisions",
    ),
    path("decisions", DecisionsView.as_view(), name="decisions"),
    path("decisions/<slug:decision_id>", DecisionView.as_view(), name="decision"),
    path("decisions/<slug:decision_id>/override", OverrideView.as_view(), name="decision-override"),
]

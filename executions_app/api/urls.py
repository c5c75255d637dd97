from django.urls import path

from executions_app.api.artifact_views import ExecutionArtifactsView
from executions_app.api.block_views import BlockRunsView
from executions_app.api.control_views import CancelView, PauseView, ResumeView
from executions_app.api.history_views import EventsView, HistoryView, LogsView
from executions_app.api.recovery_views import PatternsView, StrategiesView
from executions_app.api.restart_views import (
    ForceRestartView,
    ReassignBlockView,
    RecoveryPointsView,
    RestartView,
    RetryBlockView,
    SkipBlockView,
)
from executions_app.api.statistics_views import StatisticsView
from executions_app.api.views import ExecutionsView, ExecutionView
from executions_app.api.wait_views import CallbackView, SignalView

urlpatterns = [
    path("executions", ExecutionsView.as_view(), name="executions"),
    path("executions/<slug:execution_id>", ExecutionView.as_view(), name="execution"),
    path("executions/<slug:execution_id>/blocks", BlockRunsView.as_view(), name="execution-blocks"),
    path(
        "executions/<slug:execution_id>/artifacts",
        ExecutionArtifactsView.as_view(),
        name="execution-artifacts",
    ),
    path("executions/<slug:execution_id>/pause", PauseView.as_view(), name="execution-pause"),
    path("executions/<slug:execution_id>/resume", ResumeView.as_view(), name="execution-resume"),
    path("executions/<slug:execution_id>/cancel", CancelView.as_view(), name="execution-cancel"),
    path("executions/<slug:execution_id>/restart", RestartView.as_view(), name="execution-restart"),
    path(
        "executions/<slug:execution_id>/force-restart",
        ForceRestartView.as_view(),
        name="execution-force-restart",
    ),
    path(
        "executions/<slug:execution_id>/recovery-points",
        RecoveryPointsView.as_view(),
        name="execution-recovery-points",
    ),
    path(
        "executions/<slug:execution_id>/blocks/<slug:block_id>/retry",
        RetryBlockView.as_view(),
        name="execution-block-retry",
    ),
    path(
        "executions/<slug:execution_id>/blocks/<slug:block_id>/reassign",
        ReassignBlockView.as_view(),
        name="execution-block-reassign",
    ),
    path(
        "executions/<slug:execution_id>/blocks/<slug:block_id>/skip",
        SkipBlockView.as_view(),
        name="execution-block-skip",
    ),
    path("executions/<slug:execution_id>/logs", LogsView.as_view(), name="execution-logs"),
    path("executions/<slug:execution_id>/events", EventsView.as_view(), name="execution-events"),
    path("executions/<slug:execution_id>/history", HistoryView.as_view(), name="execution-history"),
    path("templates/<slug:template_id>/statistics", StatisticsView.as_view(), name="template-statistics"),
    path("recovery/patterns", PatternsView.as_view(), name="recovery-patterns"),
    path("recovery/strategies", StrategiesView.as_view(), name="recovery-strategies"),
    path("callbacks/<str:token>", CallbackView.as_view(), name="callback"),
    path("executions/<slug:execution_id>/signals/<str:name>", SignalView.as_view(), name="execution-signals"),
]

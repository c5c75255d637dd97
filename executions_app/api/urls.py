from django.urls import path

from executions_app.api.block_views import BlockRunsView
from executions_app.api.history_views import EventsView, HistoryView, LogsView
from executions_app.api.views import ExecutionsView, ExecutionView
from executions_app.api.wait_views import CallbackView, SignalView

urlpatterns = [
    path("executions", ExecutionsView.as_view(), name="executions"),
    path("executions/<slug:execution_id>", ExecutionView.as_view(), name="execution"),
    path("executions/<slug:execution_id>/blocks", BlockRunsView.as_view(), name="execution-blocks"),
    path("executions/<slug:execution_id>/logs", LogsView.as_view(), name="execution-logs"),
    path("executions/<slug:execution_id>/events", EventsView.as_view(), name="execution-events"),
    path("executions/<slug:execution_id>/history", HistoryView.as_view(), name="execution-history"),
    path("callbacks/<str:token>", CallbackView.as_view(), name="callback"),
    path("executions/<slug:execution_id>/signals/<str:name>", SignalView.as_view(), name="execution-signals"),
]

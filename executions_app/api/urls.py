from django.urls import path

from executions_app.api.block_views import BlockRunsView
from executions_app.api.views import EventsView, ExecutionsView, ExecutionView, LogsView

urlpatterns = [
    path("executions", ExecutionsView.as_view(), name="executions"),
    path("executions/<slug:execution_id>", ExecutionView.as_view(), name="execution"),
    path("executions/<slug:execution_id>/blocks", BlockRunsView.as_view(), name="execution-blocks"),
    path("executions/<slug:execution_id>/logs", LogsView.as_view(), name="execution-logs"),
    path("executions/<slug:execution_id>/events", EventsView.as_view(), name="execution-events"),
]

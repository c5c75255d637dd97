from django.urls import path

from approvals_app.api.views import ApprovalView, PendingApprovalsView, RespondView

urlpatterns = [
    path("approvals/pending", PendingApprovalsView.as_view(), name="approvals-pending"),
    path("approvals/<str:approval_id>", ApprovalView.as_view(), name="approval"),
    path("approvals/<str:approval_id>/respond", RespondView.as_view(), name="approval-respond"),
]

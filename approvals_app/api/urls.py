from django.urls import path

from approvals_app.api.policy_views import AbsencesView, AbsenceView, LevelsView, LevelView
from approvals_app.api.views import (
    ApprovalsView,
    ApprovalView,
    CommentView,
    DelegateView,
    HistoryView,
    PendingApprovalsView,
    RespondView,
)

urlpatterns = [
    path("approvals", ApprovalsView.as_view(), name="approvals"),
    path("approvals/pending", PendingApprovalsView.as_view(), name="approvals-pending"),
    path("approvals/<str:approval_id>", ApprovalView.as_view(), name="approval"),
    path("approvals/<str:approval_id>/respond", RespondView.as_view(), name="approval-respond"),
    path("approvals/<str:approval_id>/delegate", DelegateView.as_view(), name="approval-delegate"),
    path("approvals/<str:approval_id>/comment", CommentView.as_view(), name="approval-comment"),
    path("approvals/<str:approval_id>/history", HistoryView.as_view(), name="approval-history"),
    path("approval-levels", LevelsView.as_view(), name="approval-levels"),
    path("approval-levels/<str:name>", LevelView.as_view(), name="approval-level"),
    path("out-of-office", AbsencesView.as_view(), name="out-of-office"),
    path("out-of-office/<int:absence_id>", AbsenceView.as_view(), name="absence"),
]

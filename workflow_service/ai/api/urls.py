from django.urls import path

from workflow_service.ai.api.views import BudgetsView, UsageView

urlpatterns = [
    path("ai/usage", UsageView.as_view(), name="ai-usage"),
    path("ai/budgets", BudgetsView.as_view(), name="ai-budgets"),
]

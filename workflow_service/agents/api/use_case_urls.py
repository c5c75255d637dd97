from django.urls import path

from workflow_service.agents.api.use_case_views import UseCasesView

urlpatterns = [path("use-cases", UseCasesView.as_view(), name="use-cases")]

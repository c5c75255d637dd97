from django.urls import path

from workflow_service.advisor.api.views import AcceptView, RejectView, SuggestionsView, SuggestionView

SUGGESTION = "templates/<slug:template_id>/suggestions/<slug:suggestion_id>"

urlpatterns = [
    path("templates/<slug:template_id>/suggestions", SuggestionsView.as_view(), name="template-suggestions"),
    path(SUGGESTION, SuggestionView.as_view(), name="template-suggestion"),
    path(f"{SUGGESTION}/accept", AcceptView.as_view(), name="template-suggestion-accept"),
    path(f"{SUGGESTION}/reject", RejectView.as_view(), name="template-suggestion-reject"),
]

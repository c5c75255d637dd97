from django.urls import path

from workflow_service.vault.api.views import SecretsView, SecretView

urlpatterns = [
    path("secrets", SecretsView.as_view(), name="secrets"),
    path("secrets/<slug:name>", SecretView.as_view(), name="secret"),
]

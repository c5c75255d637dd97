from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "workflow_service.accounts"
    label = "accounts"

from django.apps import AppConfig


class VaultConfig(AppConfig):
    name = "workflow_service.vault"
    label = "vault"
    verbose_name = "Secrets"

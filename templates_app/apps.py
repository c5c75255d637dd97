from django.apps import AppConfig


class TemplatesAppConfig(AppConfig):
    name = "templates_app"
    verbose_name = "Templates"

    def ready(self) -> None:
        from templates_app.secret_usage import templates_naming
        from workflow_service.vault.usage import register_usage_source

        register_usage_source(templates_naming)

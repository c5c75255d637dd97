"""Language models, as an app: the runtime of LLM blocks is known once the service is loaded."""

from django.apps import AppConfig


class AiConfig(AppConfig):
    name = "workflow_service.ai"
    label = "ai"
    verbose_name = "Language models"

    def ready(self) -> None:
        """Register the runtime of LLM blocks."""
        from workflow_service.agents.runtimes import register_runtime
        from workflow_service.ai.llm_tool import run_llm
        from workflow_service.engine.states import ToolType

        register_runtime(ToolType.LLM, run_llm)

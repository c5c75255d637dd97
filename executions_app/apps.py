from django.apps import AppConfig


class ExecutionsAppConfig(AppConfig):
    name = "executions_app"
    verbose_name = "Executions"

    def ready(self) -> None:
        import celery_app  # noqa: F401 - messages sent from any process go through our broker
        from executions_app import leases  # noqa: F401 - connects Celery's signals
        from executions_app.aftermath import look_after_unlock
        from executions_app.agent_limits import AgentLimits
        from executions_app.handlers import register_sweep_step
        from executions_app.recovery_patterns import forget_patterns
        from executions_app.run_notices import CHANNEL, announce
        from executions_app.state_mirror import mirror_states
        from executions_app.transaction import on_unlock
        from workflow_service.agents.concurrency import register_keeper
        from workflow_service.ai.budgets import settle_expired
        from workflow_service.notifications.delivery import register_announcer, send_notifications

        on_unlock(look_after_unlock)
        register_keeper(AgentLimits())
        register_sweep_step(settle_expired)
        register_sweep_step(mirror_states)
        register_sweep_step(forget_patterns)
        register_announcer(CHANNEL, announce)
        register_sweep_step(send_notifications)

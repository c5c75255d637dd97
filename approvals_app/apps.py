from django.apps import AppConfig


class ApprovalsAppConfig(AppConfig):
    name = "approvals_app"
    verbose_name = "Approvals"

    def ready(self) -> None:
        from approvals_app.choice import ask_for_choice
        from approvals_app.findings import people_findings
        from approvals_app.gate import ask_people
        from approvals_app.intervention import ask_for_intervention
        from approvals_app.notices import CHANNEL, announce
        from approvals_app.review import ask_for_review
        from approvals_app.selectors import interactions_by_block
        from approvals_app.services.questions import close_of_runs, close_unneeded
        from approvals_app.services.timers import run_due_timers
        from executions_app.deciders import register_choice
        from executions_app.handlers import (
            register_cancel_step,
            register_human_gate,
            register_intervention,
            register_review_gate,
            register_sweep_step,
        )
        from executions_app.interactions import register_interaction_source
        from templates_app.finding_sources import register_finding_source
        from workflow_service.notifications.delivery import register_announcer

        register_human_gate(ask_people)
        register_finding_source(people_findings)
        register_intervention(ask_for_intervention)
        register_choice(ask_for_choice)
        register_review_gate(ask_for_review)
        register_interaction_source(interactions_by_block)
        register_cancel_step(close_of_runs)
        register_sweep_step(close_unneeded)
        register_sweep_step(run_due_timers)
        register_announcer(CHANNEL, announce)

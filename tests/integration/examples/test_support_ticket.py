"""Support tickets down each branch: who got the ticket, what the customer was told, what was measured."""

from typing import Any

import psycopg
import pytest

from tests.integration.examples.appendix_runs import AppendixRun, new_id, run_appendix

Analytics = psycopg.Connection
CUSTOMER = "ana@example.com"
FORGOTTEN = ("Forgotten password", "How do I reset it? The login page rejects me.")


def open_ticket(analytics: Analytics, subject: str, body: str = "", **fields: str) -> AppendixRun:
    ticket = {
        "ticket_id": new_id("ticket"),
        "customer_email": CUSTOMER,
        "subject": subject,
        "body": body,
        **fields,
    }
    return run_appendix(analytics, "support_ticket", {"ticket": ticket})


def ticket(run: AppendixRun) -> list[tuple[Any, ...]]:
    return run.rows("SELECT urgency, category, status, assigned_to FROM tickets WHERE execution_id = %s")


def satisfaction(run: AppendixRun) -> list[tuple[Any, ...]]:
    return run.rows(
        "SELECT customer_satisfied, response_seconds > 0 FROM resolutions JOIN tickets USING (ticket_id)"
        " WHERE execution_id = %s"
    )


def test_an_urgent_ticket_goes_to_the_least_busy_senior_engineer(analytics: Analytics) -> None:
    first = open_ticket(analytics, "Outage", "production is down")
    second = open_ticket(analytics, "Another outage")
    third = open_ticket(analytics, "And a third outage")
    for run, engineer in ((first, "ines"), (second, "tomas"), (third, "ines")):
        assert run.execution.status == "COMPLETED", run.execution.error
        assert run.visited == {
            "classify_ticket",
            "urgent_assignment",
            "notify_escalation",
            "track_resolution",
        }
        assert ticket(run) == [("high", "technical", "assigned", engineer)]
        assert [message[:2] for message in run.messages] == [("pager", engineer)]
        assert satisfaction(run) == [(None, True)]


def test_a_known_problem_is_answered_and_resolved_when_the_customer_is_content(analytics: Analytics) -> None:
    run = open_ticket(analytics, *FORGOTTEN)
    assert run.execution.status == "WAITING_FOR_APPROVAL"
    assert run.messages == [("email", CUSTOMER, "Reset a forgotten password")]
    run.answer(customer_satisfied=True)
    assert run.execution.status == "COMPLETED", run.execution.error
    assert run.visited == {
        "classify_ticket",
        "check_knowledge_base",
        "send_automated_response",
        "wait_customer_feedback",
        "mark_resolved",
        "track_resolution",
    }
    assert ticket(run) == [("normal", "account", "resolved", None)]
    assert satisfaction(run) == [(True, True)]


def test_a_known_problem_goes_to_the_team_when_the_customer_is_not_content(analytics: Analytics) -> None:
    run = open_ticket(analytics, *FORGOTTEN).answer(customer_satisfied=False)
    assert run.execution.status == "COMPLETED", run.execution.error
    assert {"wait_customer_feedback", "assign_to_team", "track_resolution"} <= run.visited
    assert "mark_resolved" not in run.visited
    assert ticket(run) == [("normal", "account", "assigned", "identity-desk")]
    assert satisfaction(run) == [(False, True)]


@pytest.mark.parametrize(
    ("subject", "category", "team"),
    [("A strange charge", "billing", "finance-desk"), ("Blue screen", "technical", "product-desk")],
)
def test_an_unknown_problem_goes_to_the_team_of_its_category(
    analytics: Analytics, subject: str, category: str, team: str
) -> None:
    run = open_ticket(analytics, subject)
    assert run.execution.status == "COMPLETED", run.execution.error
    assert run.visited == {"classify_ticket", "check_knowledge_base", "assign_to_team", "track_resolution"}
    assert ticket(run) == [("normal", category, "assigned", team)]
    assert run.messages == []


def test_a_ticket_of_low_urgency_has_no_way_and_says_so(analytics: Analytics) -> None:
    run = open_ticket(analytics, "A suggestion")
    assert run.execution.status == "FAILED"
    assert run.execution.error is not None
    assert run.execution.error["type"] == "NO_BRANCH_MATCHED"
    assert ticket(run) == [("low", "technical", "open", None)]

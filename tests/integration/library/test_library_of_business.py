"""Ready templates for orders, people and money, down each of their branches; the figures are worked out by hand."""

import json
from typing import Any

import pytest

from executions_app.models import BlockExecution
from tests.integration.library.library_runs import LibraryRun, run_library

pytestmark = pytest.mark.usefixtures("db")


class TestOrderProcessing:
    def order(self, *items: tuple[str, int], card: str = "4111 1111 1111 1111") -> LibraryRun:
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in items]
        order = {"orderId": "W-9", "email": "ana@example.com", "card": card, "items": lines}
        return run_library("order-processing", order=order)

    def reservation(self, run: LibraryRun) -> Any:
        path = run.files / "library/order-processing/reservations/W-9.json"
        return json.loads(path.read_text()) if path.exists() else None

    def test_all_on_hand_is_reserved_charged_and_confirmed(self) -> None:
        run = self.order(("lamp", 2), ("desk", 1)).completed()
        assert self.reservation(run)["totalCents"] == 2 * 3_490 + 68_900
        text = run.output("write_confirmation")["text"]
        assert "2 x Desk lamp: 69.80" in text
        assert "Charged: 758.80 (auth-" in text
        assert run.text_of(run.output("write_confirmation")["artifact"]) == text

    def test_a_part_on_hand_is_the_customers_decision(self) -> None:
        run = self.order(("lamp", 1), ("sofa", 1))
        assert "ana@example.com" in run.question.message
        text = run.answer().completed().output("write_confirmation")["text"]
        assert "Charged: 34.90" in text
        assert "Left out: sofa" in text

    def test_all_or_nothing_cancels(self) -> None:
        run = self.order(("lamp", 1), ("sofa", 1)).answer(approved=False).completed()
        assert "W-9 is cancelled" in run.output("write_cancellation")["text"]
        assert self.reservation(run) is None

    def test_nothing_on_hand(self) -> None:
        run = self.order(("sofa", 1), ("unicorn", 1), ("desk", 4)).completed()
        assert "nothing of order W-9 is on hand" in run.output("write_sold_out")["text"]
        assert "charge_card" not in run.visited

    @pytest.mark.parametrize(
        ("items", "card", "reason"),
        [
            ([("chair", 1)], "4111 1111 1111 1112", "check digit is wrong"),
            ([("lamp", 40), ("chair", 12), ("desk", 3)], "4111111111111111", "above the card's limit"),
        ],
    )
    def test_a_declined_card_releases_the_reservation(
        self, items: list[tuple[str, int]], card: str, reason: str
    ) -> None:
        run = self.order(*items, card=card).completed()
        assert reason in run.output("write_decline")["text"]
        assert run.output("release_stock") == {"deleted": True}
        assert self.reservation(run) is None

    def test_a_charge_that_fails_is_undone(self) -> None:
        run = self.order(("chair", 2), card="unknown")
        assert run.failed()["blockId"] == "charge_card"
        undone = BlockExecution.objects.filter(execution=run.execution, kind="undo", status="COMPLETED")
        assert [row.block_id for row in undone] == ["reserve_stock:undo"]
        assert "reserve_stock" in run.visited
        assert self.reservation(run) is None


class TestEmployeeOnboarding:
    def test_within_the_budget_in_the_office(self) -> None:
        run = run_library("employee-onboarding").completed()
        text = run.output("write_checklist")["text"]
        assert "Zoë Ångström (zoe-angstrom), accountant" in text
        assert "Order until 2026-08-18" in text
        assert [line for line in text.splitlines() if line.startswith("[ ]")] == [
            "[ ] Laptop 14 inch, 1090.00",
            "[ ] Second monitor, 219.00",
            "[ ] Security basics",
            "[ ] How we work",
            "[ ] Closing the month",
        ]
        assert f"Trainings, {2 + 3 + 6} hours" in text
        assert "Your desk is ready" in run.output("invite_office")["text"]
        assert "invite_online" not in run.visited

    def test_above_the_budget_at_home(self) -> None:
        run = run_library("employee-onboarding", "A developer at home")
        assert "2408.5" in run.question.message
        run.answer().completed()
        text = run.output("write_checklist")["text"]
        assert text.index("Laptop") < text.index("Monitor") < text.index("Docking")
        assert f"Trainings, {2 + 3 + 4 + 2} hours" in text
        assert "We meet by video" in run.output("invite_online")["text"]

    def test_a_budget_that_is_refused_leaves_the_basics(self) -> None:
        run = run_library("employee-onboarding", "A developer at home").answer(approved=False).completed()
        text = run.output("write_checklist")["text"]
        assert "Laptop 16 inch, 1890.00" in text
        assert "Monitor" not in text
        assert "place_order" not in run.visited


class TestInvoiceApproval:
    def test_billed_as_agreed_is_posted(self) -> None:
        run = run_library("invoice-approval").completed()
        entry = json.loads(run.text_of(run.output("post_invoice")["artifact"]))
        assert (entry["document"], entry["credit"]) == ("R-100", 860 + 539.4)
        assert "R-100 of Papier Weber: 1399.40, due 2026-05-01" in run.output("write_posting")["text"]
        assert "Adjusted" not in run.output("write_posting")["text"]

    def test_a_small_difference_is_adjusted(self) -> None:
        run = run_library("invoice-approval", "A small difference").completed()
        booked = json.loads(run.text_of(run.output("record_adjustment")["artifact"]))
        assert booked == {"invoiceId": "R-101", "account": "4890", "amount": 12}
        text = run.output("write_posting")["text"]
        assert "R-101 of Papier Weber: 872.00, due 2026-05-15" in text
        assert "Adjusted by 12.00" in text

    def test_above_the_tolerance_the_buyer_is_asked(self) -> None:
        run = run_library("invoice-approval", "A small difference", tolerance=10)
        assert "differs by 12" in run.question.message
        assert "record_adjustment" not in run.answer().completed().visited

    def test_what_the_buyer_pays_is_posted(self) -> None:
        run = run_library("invoice-approval", "Too much")
        assert run.output("sum_differences") == {
            "billed": 1335,
            "agreed": 1032,
            "difference": 303,
            "missing": 1,
        }
        assert "1335.00, due 2026-05-20" in run.answer().completed().output("write_posting")["text"]

    def test_what_the_buyer_disputes_is_listed(self) -> None:
        run = run_library("invoice-approval", "Too much").answer(approved=False).completed()
        text = run.output("write_dispute")["text"]
        assert "PO8-1: billed 1290.00, agreed 1032.00\n" in text
        assert "PO9-9: billed 45.00, agreed 0.00 (no order or no receipt)" in text
        assert "write_posting" not in run.visited


class TestExpenseApproval:
    def payments(self, run: LibraryRun) -> dict[str, float]:
        rows = run.table_of(run.output("write_payments")["artifact"])
        return {row["employee"]: float(row["amount"]) for row in rows}

    def test_small_change_is_paid_without_a_question(self) -> None:
        run = run_library("expense-approval", "Small change").completed()
        assert self.payments(run) == {"Cem": 18.0, "Dee": 99.9}
        letters = [one["text"] for one in run.output("write_letter")["results"]]
        assert letters[0] == 'Dear Cem, we pay you 18.0 for ["E-20"].'

    def test_more_is_for_the_manager(self) -> None:
        run = run_library("expense-approval", "An ordinary week")
        assert run.question.block_id == "ask_manager"
        assert self.payments(run.answer().completed()) == {"Cem": 190.0, "Dee": 35.0}
        assert "ask_director" not in run.visited

    def test_much_more_is_for_the_director_as_well(self) -> None:
        run = run_library("expense-approval")
        assert "1307.25" in run.question.message
        run.answer()
        assert run.question.block_id == "ask_director"
        assert self.payments(run.answer().completed()) == {"Ana": 884.5, "Bo": 422.75}

    @pytest.mark.parametrize("answers", [[False], [True, False]])
    def test_what_either_refuses_is_not_paid(self, answers: list[bool]) -> None:
        run = run_library("expense-approval")
        for approved in answers:
            run.answer(approved=approved)
        text = run.completed().output("write_refusal")["text"]
        assert "E-4 breaks the policy: /receipt" in text
        assert "E-1 was not approved" in text
        assert "pay_claims" not in run.visited

    def test_claims_against_the_policy_are_refused(self) -> None:
        run = run_library("expense-approval", "Against the policy").completed()
        text = run.output("write_refusal")["text"]
        assert "E-30 breaks the policy: /category" in text
        assert "E-31 breaks the policy: /receipt" in text


class TestTicketTriage:
    def queue(self, run: LibraryRun) -> list[tuple[str, str, str]]:
        rows = run.table_of(run.output("write_queues")["artifact"])
        return [(row["ticketId"], row["team"], row["dueAt"][5:16]) for row in rows]

    def test_urgent_tickets_are_taken(self) -> None:
        run = run_library("ticket-triage")
        assert run.question.message.startswith("2 tickets are urgent")
        run.answer().completed()
        assert self.queue(run) == [
            ("T-1", "operations", "05-04T09:05"),
            ("T-5", "operations", "05-04T12:40"),
            ("T-7", "accounting", "05-04T12:50"),
            ("T-3", "accounting", "05-05T00:20"),
            ("T-4", "product", "05-05T00:30"),
            ("T-2", "operations", "05-06T08:10"),
            ("T-6", "support", "05-12T08:45"),
            ("T-8", "product", "05-12T09:00"),
        ]
        assert (
            "T-5 (Echo): App crash, to be answered by 2026-05-04T12:40"
            in run.output("write_escalation")["text"]
        )
        text = run.output("write_summary")["text"].splitlines()
        assert text[0] == "2 urgent."
        assert [line[:11] for line in text[1:3]] == ["T-1 (Acme):", "T-5 (Echo):"]
        assert text[3:] == ["accounting: 2", "operations: 3", "product: 2", "support: 1"]

    def test_urgent_tickets_that_nobody_takes_are_told(self) -> None:
        run = run_library("ticket-triage").answer(approved=False).completed()
        assert "2 urgent. Nobody took 2 urgent tickets" in run.output("write_summary")["text"]
        assert "write_escalation" not in run.visited

    def test_a_quiet_morning_asks_nobody(self) -> None:
        run = run_library("ticket-triage", "A quiet one").completed()
        assert "0 urgent." in run.output("write_summary")["text"]
        assert {row[:2] for row in self.queue(run)} == {
            ("T-20", "operations"),
            ("T-21", "accounting"),
            ("T-22", "support"),
        }

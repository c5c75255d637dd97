"""Document B's Appendix C: three workflows in English and in the DSL, and the outcomes that lead down their branches.

Every state gives what ``given.<state>`` of the run's input says, so that one workflow goes down each of its ways. A
state that is to fail is given nothing.
"""

from dataclasses import dataclass, field
from typing import Any

END = "end"
FAILS: dict[str, Any] = {}


@dataclass(frozen=True)
class Way:
    """What states give, by state, and which states a run then visits; ``error`` is how it ends, if not well."""

    outcomes: dict[str, dict[str, Any]]
    visited: str
    error: str = ""


@dataclass(frozen=True)
class Drawing:
    """A workflow as text, and the ways down its branches; ``joins`` says what is computed where states meet."""

    dsl: str
    ways: dict[str, Way]
    joins: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)

    @property
    def edges(self) -> set[tuple[str, str]]:
        """The ways between states, those of failures apart; a list stands for each of its names."""
        found = set()
        for line in self.dsl.replace("\n", "").split(";"):
            sources, arrow, rest = line.partition("->")
            if arrow and not sources.endswith("!"):
                targets = rest.split(":")[0]
                found |= {(one, other) for one in _names(sources) for other in _names(targets)}
        return found

    @property
    def names(self) -> list[str]:
        return sorted({name for edge in self.edges for name in edge} - {"start", END} | self._behind_failures)

    @property
    def _behind_failures(self) -> set[str]:
        lines = self.dsl.replace("\n", "").split(";")
        return {line.split("!->")[1] for line in lines if "!->" in line}

    @property
    def states(self) -> dict[str, Any]:
        """What each state does: it gives what the input has for it."""
        return self.joins | {
            name: {
                "callback_type": "noop",
                "callback_config": {"output": f"${{workflow.input.given.{name}}}"},
                "retry_policy": {"maxRetries": 0},
            }
            for name in self.names
        }

    def given(self, way: Way) -> dict[str, Any]:
        """Return the input that leads down a way."""
        outcomes = {name: way.outcomes.get(name, {"done": name}) for name in self.names}
        return {"given": {name: outcome for name, outcome in outcomes.items() if outcome is not FAILS}}


@dataclass(frozen=True)
class Example:
    """One workflow: its English, what document B draws of it, and what the rules make of the English.

    ``told`` are words that its explanation must have.
    """

    english: str
    drawn: Drawing
    translated: dict[str, Way]
    told: tuple[str, ...]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.strip().strip("[]").split(",")]


TESTS = "[run_unit_tests,run_integration_tests,run_security_scan]"
GREEN = {
    "run_unit_tests": {"unit_pass": True},
    "run_integration_tests": {"integration_pass": True},
    "run_security_scan": {"scan_pass": True},
}
STAGED = "build_image push_to_registry deploy_staging smoke_tests"
PARALLEL = "code_quality_check parallel_tests run_unit_tests run_integration_tests run_security_scan"
QUALITY = {"code_quality_check": {"quality_pass": True}} | GREEN
BUILT = (
    "run_linting run_unit_tests run_integration_tests run_security_scan build_docker_image push_to_registry"
    " deploy_to_staging run_smoke_tests"
)
CLEAN = {"run_linting": {"quality_passed": True}}

ORDERS = Example(
    english="""
    When a customer places an order:
    1. Validate order details (items, quantities, payment)
    2. Check inventory availability
    3. If all items available:
       - Reserve inventory
       - Process payment
       - Send confirmation email
       - Notify fulfillment team
    4. If some items unavailable:
       - Reserve available items
       - Send partial availability notification
       - Wait for customer decision
    5. If payment fails:
       - Release inventory
       - Send payment failure notification
    """,
    drawn=Drawing(
        """
        start->validate_order;
        validate_order->check_inventory:order_valid==True;
        validate_order->order_error:order_valid==False;
        check_inventory->reserve_inventory:all_available==True;
        check_inventory->partial_availability:some_available==True;
        check_inventory->out_of_stock:none_available==True;
        reserve_inventory->process_payment;
        process_payment->send_confirmation:payment_success==True;
        process_payment->payment_failed:payment_success==False;
        send_confirmation->notify_fulfillment;
        notify_fulfillment->end;
        payment_failed->release_inventory;
        release_inventory->notify_payment_failure;
        notify_payment_failure->end;
        partial_availability->send_partial_notification;
        send_partial_notification->wait_customer_decision;
        wait_customer_decision->end;
        out_of_stock->notify_out_of_stock;
        notify_out_of_stock->end;
        order_error->end;
        """.replace("    ", ""),
        {
            "paid": Way(
                {
                    "validate_order": {"order_valid": True},
                    "check_inventory": {"all_available": True},
                    "process_payment": {"payment_success": True},
                },
                "validate_order check_inventory reserve_inventory process_payment send_confirmation"
                " notify_fulfillment",
            ),
            "not paid": Way(
                {
                    "validate_order": {"order_valid": True},
                    "check_inventory": {"all_available": True},
                    "process_payment": {"payment_success": False},
                },
                "validate_order check_inventory reserve_inventory process_payment payment_failed release_inventory"
                " notify_payment_failure",
            ),
            "some on hand": Way(
                {
                    "validate_order": {"order_valid": True},
                    "check_inventory": {"all_available": False, "some_available": True},
                },
                "validate_order check_inventory partial_availability send_partial_notification wait_customer_decision",
            ),
            "none on hand": Way(
                {
                    "validate_order": {"order_valid": True},
                    "check_inventory": {
                        "all_available": False,
                        "some_available": False,
                        "none_available": True,
                    },
                },
                "validate_order check_inventory out_of_stock notify_out_of_stock",
            ),
            "not valid": Way({"validate_order": {"order_valid": False}}, "validate_order order_error"),
            "neither": Way(
                {
                    "validate_order": {"order_valid": True},
                    "check_inventory": {
                        "all_available": False,
                        "some_available": False,
                        "none_available": False,
                    },
                },
                "validate_order check_inventory",
                "NO_BRANCH_MATCHED",
            ),
        },
    ),
    translated={
        "paid": Way(
            {
                "check_inventory_availability": {"items_available": True},
                "process_payment": {"payment_success": True},
            },
            "validate_order_details check_inventory_availability reserve_inventory process_payment"
            " send_confirmation_email notify_fulfillment_team",
        ),
        "not paid": Way(
            {
                "check_inventory_availability": {"items_available": True},
                "process_payment": {"payment_success": False},
            },
            "validate_order_details check_inventory_availability reserve_inventory process_payment release_inventory"
            " send_payment_failure_notification",
        ),
        "some on hand": Way(
            {"check_inventory_availability": {"items_available": False}},
            "validate_order_details check_inventory_availability reserve_available_items"
            " send_partial_availability_notification wait_customer_decision",
        ),
    },
    told=("validates the order", "all are available", "releases the inventory", "notifies out of stock"),
)

PIPELINE = Example(
    english="""
    When code is pushed to main branch:
    1. Run linting and code quality checks
    2. If quality checks pass:
       - Run unit tests in parallel
       - Run integration tests in parallel
       - Run security scan in parallel
    3. If all tests pass:
       - Build Docker image
       - Push to registry
       - Deploy to staging
       - Run smoke tests
    4. If smoke tests pass:
       - Wait for approval
       - Deploy to production
    5. If any step fails:
       - Rollback if necessary
       - Notify team
    """,
    drawn=Drawing(
        """
        start->code_quality_check;
        code_quality_check->parallel_tests:quality_pass==True;
        code_quality_check->notify_failure:quality_pass==False;
        parallel_tests->[run_unit_tests,run_integration_tests,run_security_scan];
        [run_unit_tests,run_integration_tests,run_security_scan]->build_image:all_tests_pass==True;
        [run_unit_tests,run_integration_tests,run_security_scan]->notify_failure:any_test_fail==True;
        build_image->push_to_registry;
        push_to_registry->deploy_staging;
        deploy_staging->smoke_tests;
        smoke_tests->wait_approval:smoke_pass==True;
        smoke_tests->rollback:smoke_pass==False;
        wait_approval->deploy_production:approved==True;
        wait_approval->cancelled:approved==False;
        deploy_production->end;
        rollback->notify_failure;
        notify_failure->end;
        cancelled->end;
        """.replace("    ", ""),
        {
            "deployed": Way(
                QUALITY | {"smoke_tests": {"smoke_pass": True}, "wait_approval": {"approved": True}},
                f"{PARALLEL} {STAGED} wait_approval deploy_production",
            ),
            "refused": Way(
                QUALITY | {"smoke_tests": {"smoke_pass": True}, "wait_approval": {"approved": False}},
                f"{PARALLEL} {STAGED} wait_approval cancelled",
            ),
            "smokes": Way(
                QUALITY | {"smoke_tests": {"smoke_pass": False}},
                f"{PARALLEL} {STAGED} rollback notify_failure",
            ),
            "a test fails": Way(
                QUALITY | {"run_security_scan": {"scan_pass": False}}, f"{PARALLEL} notify_failure"
            ),
            "of poor quality": Way(
                {"code_quality_check": {"quality_pass": False}}, "code_quality_check notify_failure"
            ),
        },
        joins={
            TESTS: {
                "set": {
                    "all_tests_pass": "unit_pass and integration_pass and scan_pass",
                    "any_test_fail": "not (unit_pass and integration_pass and scan_pass)",
                }
            }
        },
    ),
    translated={
        "deployed": Way(
            CLEAN | {"run_smoke_tests": {"smoke_passed": True}, "wait_approval": {"approved": True}},
            f"{BUILT} wait_approval deploy_to_production",
        ),
        "smokes": Way(CLEAN | {"run_smoke_tests": {"smoke_passed": False}}, BUILT),
        "a test fails": Way(
            CLEAN | {"run_security_scan": {"quality_passed": False}},
            "run_linting run_unit_tests run_integration_tests run_security_scan",
        ),
        "of poor quality": Way({"run_linting": {"quality_passed": False}}, "run_linting"),
        "a step breaks": Way(
            CLEAN | {"push_to_registry": FAILS},
            "run_linting run_unit_tests run_integration_tests run_security_scan build_docker_image push_to_registry"
            " rollback notify_team",
        ),
    },
    told=("3 things at the same time", "if all tests pass", "rolls back", "waits for the approval"),
)

TICKETS = Example(
    english="""
    When a support ticket is created:
    1. Classify ticket urgency and category using AI
    2. If urgent:
       - Assign to senior support engineer immediately
       - Send escalation notification
    3. If normal:
       - Check knowledge base for similar issues
       - If solution found:
         - Send automated response
         - Mark as resolved if customer confirms
       - If no solution:
         - Assign to appropriate team based on category
    4. Track response time and customer satisfaction
    """,
    drawn=Drawing(
        """
        start->classify_ticket;
        classify_ticket->urgent_assignment:urgency=='high';
        classify_ticket->check_knowledge_base:urgency=='normal';
        urgent_assignment->notify_escalation;
        notify_escalation->track_resolution;
        check_knowledge_base->send_automated_response:solution_found==True;
        check_knowledge_base->assign_to_team:solution_found==False;
        send_automated_response->wait_customer_feedback;
        wait_customer_feedback->mark_resolved:customer_satisfied==True;
        wait_customer_feedback->assign_to_team:customer_satisfied==False;
        assign_to_team->track_resolution;
        mark_resolved->track_resolution;
        track_resolution->end;
        """.replace("    ", ""),
        {
            "urgent": Way(
                {"classify_ticket": {"urgency": "high"}},
                "classify_ticket urgent_assignment notify_escalation track_resolution",
            ),
            "answered": Way(
                {
                    "classify_ticket": {"urgency": "normal"},
                    "check_knowledge_base": {"solution_found": True},
                    "wait_customer_feedback": {"customer_satisfied": True},
                },
                "classify_ticket check_knowledge_base send_automated_response wait_customer_feedback mark_resolved"
                " track_resolution",
            ),
            "not content": Way(
                {
                    "classify_ticket": {"urgency": "normal"},
                    "check_knowledge_base": {"solution_found": True},
                    "wait_customer_feedback": {"customer_satisfied": False},
                },
                "classify_ticket check_knowledge_base send_automated_response wait_customer_feedback assign_to_team"
                " track_resolution",
            ),
            "unknown": Way(
                {"classify_ticket": {"urgency": "normal"}, "check_knowledge_base": {"solution_found": False}},
                "classify_ticket check_knowledge_base assign_to_team track_resolution",
            ),
            "low": Way({"classify_ticket": {"urgency": "low"}}, "classify_ticket", "NO_BRANCH_MATCHED"),
        },
    ),
    translated={
        "urgent": Way(
            {"classify_ticket_urgency": {"urgency": "urgent"}},
            "classify_ticket_urgency assign_to_senior_support_engineer send_escalation_notification"
            " track_response_time",
        ),
        "answered": Way(
            {
                "classify_ticket_urgency": {"urgency": "normal"},
                "check_knowledge_base": {"solution_found": True},
                "send_automated_response": {"customer_confirm": True},
            },
            "classify_ticket_urgency check_knowledge_base send_automated_response mark_resolved track_response_time",
        ),
        "not content": Way(
            {
                "classify_ticket_urgency": {"urgency": "normal"},
                "check_knowledge_base": {"solution_found": True},
                "send_automated_response": {"customer_confirm": False},
            },
            "classify_ticket_urgency check_knowledge_base send_automated_response track_response_time",
        ),
        "unknown": Way(
            {
                "classify_ticket_urgency": {"urgency": "normal"},
                "check_knowledge_base": {"solution_found": False},
            },
            "classify_ticket_urgency check_knowledge_base assign_to_appropriate_team track_response_time",
        ),
        "low": Way(
            {"classify_ticket_urgency": {"urgency": "low"}}, "classify_ticket_urgency", "NO_BRANCH_MATCHED"
        ),
    },
    told=("if the urgency is high", "sends the automated response", "the solution is not found"),
)

EXAMPLES = {"orders": ORDERS, "pipeline": PIPELINE, "tickets": TICKETS}

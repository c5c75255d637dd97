"""The graphs of document B's Appendix C, as data: (sources, targets, condition) for each transition."""

Edge = tuple[tuple[str, ...], tuple[str, ...], str | None]


def _edges(*rows: tuple[str, str, str | None]) -> tuple[Edge, ...]:
    return tuple(
        (tuple(sources.split()), tuple(targets.split()), condition) for sources, targets, condition in rows
    )


TESTS = "run_unit_tests run_integration_tests run_security_scan"

ORDER_PROCESSING = _edges(
    ("start", "validate_order", None),
    ("validate_order", "check_inventory", "order_valid==True"),
    ("validate_order", "order_error", "order_valid==False"),
    ("check_inventory", "reserve_inventory", "all_available==True"),
    ("check_inventory", "partial_availability", "some_available==True"),
    ("check_inventory", "out_of_stock", "none_available==True"),
    ("reserve_inventory", "process_payment", None),
    ("process_payment", "send_confirmation", "payment_success==True"),
    ("process_payment", "payment_failed", "payment_success==False"),
    ("send_confirmation", "notify_fulfillment", None),
    ("notify_fulfillment", "end", None),
    ("payment_failed", "release_inventory", None),
    ("release_inventory", "notify_payment_failure", None),
    ("notify_payment_failure", "end", None),
    ("partial_availability", "send_partial_notification", None),
    ("send_partial_notification", "wait_customer_decision", None),
    ("wait_customer_decision", "end", None),
    ("out_of_stock", "notify_out_of_stock", None),
    ("notify_out_of_stock", "end", None),
    ("order_error", "end", None),
)

CI_CD = _edges(
    ("start", "code_quality_check", None),
    ("code_quality_check", "parallel_tests", "quality_pass==True"),
    ("code_quality_check", "notify_failure", "quality_pass==False"),
    ("parallel_tests", TESTS, None),
    (TESTS, "build_image", "all_tests_pass==True"),
    (TESTS, "notify_failure", "any_test_fail==True"),
    ("build_image", "push_to_registry", None),
    ("push_to_registry", "deploy_staging", None),
    ("deploy_staging", "smoke_tests", None),
    ("smoke_tests", "wait_approval", "smoke_pass==True"),
    ("smoke_tests", "rollback", "smoke_pass==False"),
    ("wait_approval", "deploy_production", "approved==True"),
    ("wait_approval", "cancelled", "approved==False"),
    ("deploy_production", "end", None),
    ("rollback", "notify_failure", None),
    ("notify_failure", "end", None),
    ("cancelled", "end", None),
)

SUPPORT_TICKET = _edges(
    ("start", "classify_ticket", None),
    ("classify_ticket", "urgent_assignment", "urgency=='high'"),
    ("classify_ticket", "check_knowledge_base", "urgency=='normal'"),
    ("urgent_assignment", "notify_escalation", None),
    ("notify_escalation", "track_resolution", None),
    ("check_knowledge_base", "send_automated_response", "solution_found==True"),
    ("check_knowledge_base", "assign_to_team", "solution_found==False"),
    ("send_automated_response", "wait_customer_feedback", None),
    ("wait_customer_feedback", "mark_resolved", "customer_satisfied==True"),
    ("wait_customer_feedback", "assign_to_team", "customer_satisfied==False"),
    ("assign_to_team", "track_resolution", None),
    ("mark_resolved", "track_resolution", None),
    ("track_resolution", "end", None),
)

WORKFLOWS = {"order_processing": ORDER_PROCESSING, "ci_cd": CI_CD, "support_ticket": SUPPORT_TICKET}


def as_text(edges: tuple[Edge, ...]) -> str:
    """Write the edges in the DSL, as document B does."""

    def names(words: tuple[str, ...]) -> str:
        return words[0] if len(words) == 1 else f"[{','.join(words)}]"

    lines = (
        f"{names(sources)}->{names(targets)}{f':{condition}' if condition else ''};"
        for sources, targets, condition in edges
    )
    return "\n".join(lines)


def single_edges(edges: tuple[Edge, ...]) -> set[tuple[str, str, str | None]]:
    """Return the edges with lists of targets taken apart; a list of sources is one join."""
    return {
        ("[" + ",".join(sorted(sources)) + "]" if len(sources) > 1 else sources[0], target, condition)
        for sources, targets, condition in edges
        for target in targets
    }

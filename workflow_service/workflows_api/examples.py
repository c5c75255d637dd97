"""Requests as one would send them, for the schema of document B's door."""

from drf_spectacular.utils import OpenApiExample

NEW_EXAMPLES = [
    OpenApiExample(
        "In plain English",
        value={
            "name": "Customer Onboarding",
            "description": "Process new customer registration and setup",
            "nl_description": "When a new customer signs up:\n1. Validate their email\n2. Create the account\n"
            "3. Send the welcome email",
            "tags": ["onboarding", "sales"],
        },
        request_only=True,
    ),
    OpenApiExample(
        "In the DSL",
        value={
            "name": "Choice",
            "dsl": "start->measure;measure->high:value>10;measure->low:else;high->end;low->end;",
            "states": {
                "measure": {"callback_type": "noop", "callback_config": {"output": {"value": 12}}},
                "high": {"callback_type": "noop"},
                "low": {"callback_type": "noop"},
            },
        },
        request_only=True,
    ),
]
CHANGED_EXAMPLE = OpenApiExample(
    "Another graph", value={"name": "Choice", "dsl": "start->measure;measure->end;"}, request_only=True
)
EXECUTE_EXAMPLE = OpenApiExample(
    "Execute",
    value={
        "initial_context": {"customer_email": "john@example.com", "plan_type": "enterprise"},
        "execution_options": {
            "enable_ai_decisions": True,
            "enable_auto_recovery": True,
            "timeout_seconds": 300,
            "priority": "high",
        },
    },
    request_only=True,
)

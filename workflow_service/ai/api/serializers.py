"""The shapes of usage and budgets. Amounts are USD."""

from typing import Any

from rest_framework import serializers

from workflow_service.ai.models import Budget
from workflow_service.ai.usage import GROUPS
from workflow_service.api_serializers import CamelSerializer, QuerySerializer


class UsageQuery(QuerySerializer):
    group_by = serializers.ChoiceField(choices=list(GROUPS), default="operation")

    def get_fields(self) -> dict[str, Any]:
        """Add ``from`` and ``to``: the first cannot be declared."""
        start = serializers.DateTimeField(
            required=False, source="start", help_text="First moment, ISO 8601; not given: 30 days ago."
        )
        end = serializers.DateTimeField(
            required=False, source="end", help_text="Moment after the last; not given: now."
        )
        return {"from": start, "to": end, **super().get_fields()}


class UsageSums(CamelSerializer):
    calls = serializers.IntegerField(help_text="Calls of providers.")
    cached_calls = serializers.IntegerField(help_text="Answers from the cache, which cost nothing.")
    calls_without_answer = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cost_usd = serializers.FloatField()


class UsageGroup(UsageSums):
    key = serializers.CharField(allow_blank=True, help_text="What the group has in common; empty: nothing.")


class UsageSummary(CamelSerializer):
    group_by = serializers.ChoiceField(choices=list(GROUPS))
    totals = UsageSums()
    groups = UsageGroup(many=True)

    def get_fields(self) -> dict[str, Any]:
        """Add ``from`` and ``to``."""
        start = serializers.DateTimeField(source="start")
        end = serializers.DateTimeField(source="end")
        return {"from": start, "to": end, **super().get_fields()}


class BudgetBody(CamelSerializer):
    scope = serializers.ChoiceField(choices=Budget.Scope.values)
    subject = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=64,
        help_text="Id of one user, template or run; empty: each of them has the limit for itself.",
    )
    period = serializers.ChoiceField(choices=Budget.Period.values, default=Budget.Period.TOTAL.value)
    limit_usd = serializers.DecimalField(
        max_digits=20, decimal_places=10, min_value=0, coerce_to_string=False
    )
    policy = serializers.ChoiceField(choices=Budget.Policy.values, default=Budget.Policy.STOP.value)


class BudgetsBody(CamelSerializer):
    budgets = BudgetBody(many=True)


class BudgetAccountShape(CamelSerializer):
    subject = serializers.CharField(allow_blank=True)
    spent_usd = serializers.FloatField()
    reserved_usd = serializers.FloatField(help_text="For calls that are under way.")


class BudgetShape(CamelSerializer):
    budget_id = serializers.CharField()
    scope = serializers.ChoiceField(choices=Budget.Scope.values)
    subject = serializers.CharField(allow_blank=True)
    period = serializers.ChoiceField(choices=Budget.Period.values)
    limit_usd = serializers.FloatField()
    policy = serializers.ChoiceField(choices=Budget.Policy.values)
    accounts = BudgetAccountShape(
        many=True, help_text="In the present period, the dearest first; at most 100."
    )


class BudgetList(CamelSerializer):
    budgets = BudgetShape(many=True)

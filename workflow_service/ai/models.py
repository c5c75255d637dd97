"""What calls of language models cost, and what they may cost. ``budgets.py`` alone writes the sums."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from workflow_service.accounts.models import Workspace
from workflow_service.identifiers import new_id

MAX_ID = 64


def new_budget_id() -> str:
    return new_id("bud")


class UsdField(models.DecimalField):  # type: ignore[type-arg]
    """An amount in USD, exact to a ten-billionth: one token of a cheap model costs less than a ten-millionth."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{"max_digits": 20, "decimal_places": 10, **options})  # type: ignore[arg-type]


class Budget(models.Model):
    """What may be spent in a workspace: by all of it, or by each user, template or run, or by a single call.

    ``subject`` names one user, template or run by its public id; empty, each of them has the limit for itself.
    """

    class Scope(models.TextChoices):
        CALL = "call", "each call"
        RUN = "run", "each run"
        WORKFLOW = "workflow", "a workflow"
        USER = "user", "a user"
        WORKSPACE = "workspace", "the workspace"

    class Period(models.TextChoices):
        TOTAL = "total", "in all"
        MONTH = "month", "per month"
        DAY = "day", "per day"

    class Policy(models.TextChoices):
        DOWNGRADE = "downgrade", "cheaper model"
        ASK = "ask", "ask a person"
        STOP = "stop", "stop"

    public_id = models.CharField(max_length=40, unique=True, default=new_budget_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    scope = models.CharField(max_length=16, choices=Scope.choices, default=Scope.WORKSPACE)
    subject = models.CharField(
        max_length=MAX_ID,
        blank=True,
        help_text="Public id of one user, template or run; empty: each of them has this limit.",
    )
    period = models.CharField(max_length=8, choices=Period.choices, default=Period.MONTH)
    limit_usd = UsdField(verbose_name="limit (USD)")
    policy = models.CharField(max_length=12, choices=Policy.choices, default=Policy.STOP)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("workspace", "scope", "subject", "period"), name="budget_once"),
            models.CheckConstraint(condition=Q(limit_usd__gte=0), name="budget_limit_not_negative"),
        )

    def __str__(self) -> str:
        whose = self.subject or self.get_scope_display()
        return f"{self.limit_usd.normalize():f} USD {self.get_period_display()} for {whose}"


class BudgetAccount(models.Model):
    """What one budget's subject has spent and reserved in one period. ``spent_usd + reserved_usd`` keeps the limit."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="accounts")
    subject = models.CharField(max_length=MAX_ID, blank=True)
    # The first day, UTC; of a budget in all it is the first of January 1970.
    period_start = models.DateField()
    spent_usd = UsdField(default=0)
    reserved_usd = UsdField(default=0)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("budget", "subject", "period_start"), name="budget_account_once"),
            models.CheckConstraint(condition=Q(reserved_usd__gte=0), name="budget_reserved_not_negative"),
        )

    def __str__(self) -> str:
        return f"{self.subject or 'all'} since {self.period_start}"


class LlmUsage(models.Model):
    """One call of a provider, or one answer from the cache. While it is under way it is also the reservation.

    RESERVED: nothing was sent. CALLED: something may have been. The rest have ended, and ``cost_usd`` is what the
    budgets were charged.
    """

    class State(models.TextChoices):
        RESERVED = "RESERVED", "reserved"
        CALLED = "CALLED", "called"
        SETTLED = "SETTLED", "settled"
        RELEASED = "RELEASED", "released"
        ASSUMED = "ASSUMED", "assumed"

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    template_id = models.CharField(max_length=MAX_ID, blank=True)
    execution_id = models.CharField(max_length=MAX_ID, blank=True)
    block_id = models.CharField(max_length=100, blank=True)
    operation = models.CharField(max_length=64)
    prompt = models.CharField(max_length=100, blank=True)
    provider = models.CharField(max_length=100)
    model = models.CharField(max_length=200)
    state = models.CharField(max_length=8, choices=State.choices)
    outcome = models.CharField(max_length=40, blank=True)
    cached = models.BooleanField(default=False)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    estimated_usd = UsdField(default=0)
    reserved_usd = UsdField(default=0)
    cost_usd = UsdField(default=0)
    latency_ms = models.PositiveIntegerField(default=0)
    accounts = ArrayField(models.BigIntegerField(), default=list, blank=True)
    created_at = models.DateTimeField()
    lease_expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = "call of a language model"
        verbose_name_plural = "calls of language models"
        indexes = (
            models.Index(fields=("workspace", "created_at"), name="llm_usage_by_time"),
            models.Index(fields=("execution_id",), name="llm_usage_of_run", condition=~Q(execution_id="")),
            models.Index(
                fields=("lease_expires_at",),
                name="llm_usage_under_way",
                condition=Q(state__in=("RESERVED", "CALLED")),
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(state__in=("RESERVED", "CALLED", "SETTLED", "RELEASED", "ASSUMED")),
                name="llm_usage_state_known",
            ),
        )

    def __str__(self) -> str:
        return f"{self.operation} at {self.model}"


class ModelOverrun(models.Model):
    """How far above its estimate a model was billed, at most: once seen, so much is reserved for each call of it."""

    provider = models.CharField(max_length=100)
    model = models.CharField(max_length=200)
    factor = models.DecimalField(max_digits=12, decimal_places=4)
    seen_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("provider", "model"), name="model_overrun_once"),)

    def __str__(self) -> str:
        return f"{self.model} at {self.provider}: {self.factor}"

"""Agents: who they are, how they are, and what is known of their work."""

import re

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from workflow_service.accounts.models import User, Workspace
from workflow_service.agents.selection import AgentStatus
from workflow_service.engine.states import ToolType

AGENT_ID = r"^[A-Za-z0-9_][\w.-]{0,99}\Z"
HEALTH = [(status.value, status.value) for status in AgentStatus if status is not AgentStatus.DISABLED]


class Agent(models.Model):
    """One who does the work of blocks. Workflows name it by ``public_id``; without a workspace it is built in for all.

    The first of ``tool_types`` is the tool it works with where a block names none, and ``configuration`` holds that
    tool's defaults. How much may be at work on it at once is a concurrency limit of the workspace, by ``public_id``.
    """

    class Runtime(models.TextChoices):
        LOCAL = "local", "In the workers"
        ENDPOINT = "endpoint", "At its own address"
        SERVICE = "service", "Agent Service"

    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, related_name="agents", null=True, blank=True
    )
    public_id = models.CharField(
        "agent id",
        max_length=100,
        validators=[
            RegexValidator(AGENT_ID, "Letters, digits, '_', '-' and '.' are allowed.", flags=re.ASCII)
        ],
    )
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True, max_length=2_000)
    capabilities = models.JSONField(default=list, blank=True)
    tool_types = ArrayField(models.CharField(max_length=12, choices=[(t.value, t.value) for t in ToolType]))
    runtime = models.CharField(max_length=8, choices=Runtime.choices, default=Runtime.LOCAL)
    endpoint = models.CharField(max_length=2_000, blank=True)
    configuration = models.JSONField(default=dict, blank=True)
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    enabled = models.BooleanField(default=True)
    status = models.CharField(max_length=10, choices=HEALTH, default=AgentStatus.UNKNOWN)
    status_message = models.CharField(max_length=500, blank=True)
    status_since = models.DateTimeField(null=True, blank=True)
    failed_checks = models.PositiveSmallIntegerField(default=0)
    checked_at = models.DateTimeField(null=True, blank=True)
    next_check_at = models.DateTimeField(null=True, blank=True)
    heartbeat_ttl_s = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(5), MaxValueValidator(86_400)]
    )
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    rate_per_min = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(1_000_000)]
    )
    rate_burst = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(100_000)]
    )
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("public_id",)
        constraints = (
            models.UniqueConstraint(fields=("workspace", "public_id"), name="agent_once"),
            models.UniqueConstraint(
                fields=("public_id",),
                condition=models.Q(workspace__isnull=True),
                name="built_in_agent_once",
            ),
            models.CheckConstraint(
                condition=models.Q(runtime="endpoint") ^ models.Q(endpoint=""),
                name="agent_endpoint_if_its_own",
            ),
        )
        indexes = (models.Index(fields=("next_check_at",), name="agent_next_check"),)

    def __str__(self) -> str:
        return self.public_id


class AgentStatusChange(models.Model):
    """One change of an agent's health, and why."""

    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="status_changes")
    old_status = models.CharField(max_length=10)
    new_status = models.CharField(max_length=10)
    message = models.CharField(max_length=500, blank=True)
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.old_status} to {self.new_status}"


class AgentStatistic(models.Model):
    """What is known of an agent's work in one workspace, as last counted: of the runs that ended of late, and now.

    ``tries`` that ended, and how many of those ``succeeded``; ``running`` blocks are at work on it, of ``capacity``.
    """

    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    agent_id = models.CharField(max_length=100)
    tries = models.BigIntegerField(default=0, db_default=0)
    succeeded = models.BigIntegerField(default=0, db_default=0)
    average_ms = models.FloatField(null=True)
    running = models.IntegerField(default=0, db_default=0)
    capacity = models.IntegerField(default=0, db_default=0)
    counted_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("workspace", "agent_id"), name="agent_statistic_once"),
        )

    def __str__(self) -> str:
        return f"work of {self.agent_id}"

    @property
    def success_rate(self) -> float | None:
        """The percentage of tries that succeeded; None where there was none."""
        return round(100 * self.succeeded / self.tries, 1) if self.tries else None

    @property
    def load(self) -> float:
        """How full it is, 0 to 1."""
        return min(1.0, self.running / self.capacity) if self.capacity else 0.0


class AgentUpkeep(models.Model):
    """When the regular work about agents was last begun; one row, so that of many processes one does it."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    discovered_at = models.DateTimeField(null=True)
    load_counted_at = models.DateTimeField(null=True)
    work_counted_at = models.DateTimeField(null=True)
    service_status = models.CharField(max_length=10, choices=HEALTH, default=AgentStatus.UNKNOWN)
    service_message = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(id=1), name="agent_upkeep_once"),)

    def __str__(self) -> str:
        return "upkeep of agents"

"""Who must say yes: approvals, and who decided what."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from executions_app.models import BlockExecution, Execution
from workflow_service.accounts.models import Workspace
from workflow_service.engine.states import ApprovalStatus, HumanStepType
from workflow_service.identifiers import new_id


def new_approval_id() -> str:
    return new_id("appr")


class Approval(models.Model):
    """One question put to people about one block execution.

    It stands while the hash of the block's resolved input, and after a restart the message, is the same: such a re-run
    asks nobody again. A review stands for one output too: ``proposed`` is what the block made and has not given yet.

    ``assignees`` are names, ``delegate_ids`` the users it was handed to, and ``involved_ids`` those who did something
    to it. ``version`` rises whenever who is asked changes, or how far they are. ``next_timer_at`` is when a reminder,
    an escalation or the end of the time is due, whichever comes first.
    """

    class OnTimeout(models.TextChoices):
        WAIT = "wait"
        APPROVE = "approve"
        REJECT = "reject"
        FAIL = "fail"

    public_id = models.CharField(max_length=40, unique=True, default=new_approval_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="approvals")
    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="approvals")
    block_execution = models.ForeignKey(
        BlockExecution, on_delete=models.CASCADE, related_name="approvals", db_constraint=False
    )
    block_id = models.CharField(max_length=100)
    block_name = models.CharField(max_length=255, blank=True)
    type = models.CharField(max_length=16, choices=[(t.value, t.value) for t in HumanStepType])
    level = models.CharField(max_length=100, blank=True)
    assignees = ArrayField(models.CharField(max_length=150), default=list, blank=True)
    delegate_ids = ArrayField(models.BigIntegerField(), default=list, db_default=[], blank=True)
    involved_ids = ArrayField(models.BigIntegerField(), default=list, db_default=[], blank=True)
    four_eyes = models.BooleanField(default=False)
    quorum = models.PositiveSmallIntegerField(default=1, db_default=1)
    allow_delegation = models.BooleanField(default=True, db_default=True)
    message = models.TextField(blank=True)
    input = models.JSONField(null=True)
    input_sha256 = models.CharField(max_length=64)
    proposed = models.JSONField(null=True)
    proposed_sha256 = models.CharField(max_length=64, blank=True, default="", db_default="")
    response_schema = models.JSONField(null=True)
    version = models.PositiveIntegerField(default=1, db_default=1)
    status = models.CharField(
        max_length=12, choices=[(s.value, s.value) for s in ApprovalStatus], default=ApprovalStatus.PENDING
    )
    requested_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True)
    next_timer_at = models.DateTimeField(null=True)
    remind_every_s = models.PositiveIntegerField(null=True)
    escalation_chain = models.JSONField(default=list, db_default=[], blank=True)
    escalation_step = models.PositiveSmallIntegerField(default=0, db_default=0)
    on_timeout = models.CharField(
        max_length=8, choices=OnTimeout.choices, default=OnTimeout.WAIT, db_default=OnTimeout.WAIT
    )
    responded_at = models.DateTimeField(null=True)
    responded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    response = models.JSONField(null=True)
    comments = models.TextField(blank=True)
    source = models.CharField(max_length=16, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(status__in=[s.value for s in ApprovalStatus]), name="approval_status_known"
            ),
            models.UniqueConstraint(
                fields=("block_execution",),
                condition=models.Q(status="PENDING"),
                name="approval_pending_once",
            ),
        )
        indexes = (
            models.Index(
                fields=("workspace", "-id"), condition=models.Q(status="PENDING"), name="approval_pending"
            ),
            models.Index(
                fields=("next_timer_at",), condition=models.Q(status="PENDING"), name="approval_timer"
            ),
            models.Index(fields=("workspace", "-id"), name="approval_newest"),
        )

    def __str__(self) -> str:
        return f"{self.block_name or self.block_id} of {self.execution_id}"


class ApprovalVote(models.Model):
    """One person's answer, given for themselves or on behalf of the one who delegated it to them."""

    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="votes")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    on_behalf_of = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    approved = models.BooleanField()
    response = models.JSONField(null=True)
    comments = models.TextField(blank=True)
    source = models.CharField(max_length=16)
    version = models.PositiveIntegerField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("approval", "user"), name="approval_vote_once"),
            models.UniqueConstraint(
                fields=("approval", "on_behalf_of"),
                condition=models.Q(on_behalf_of__isnull=False),
                name="approval_vote_once_for",
            ),
        )

    def __str__(self) -> str:
        return f"{self.user_id} {'approves' if self.approved else 'rejects'} {self.approval_id}"


class ApprovalDelegation(models.Model):
    """Somebody who was asked handed the question to somebody else."""

    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="delegations")
    from_user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    to_user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    comments = models.TextField(blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("approval", "from_user", "to_user"), name="approval_delegation_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.approval_id}: {self.from_user_id} to {self.to_user_id}"


class ApprovalComment(models.Model):
    """Something said about a question that decides nothing."""

    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="discussion")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.text[:50]


class ApprovalLevel(models.Model):
    """What a level means in a workspace: the groups whose members are asked."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="approval_levels")
    name = models.CharField(max_length=100)
    groups = models.ManyToManyField("auth.Group", related_name="+")

    class Meta:
        ordering = ("workspace", "name")
        constraints = (models.UniqueConstraint(fields=("workspace", "name"), name="approval_level_once"),)

    def __str__(self) -> str:
        return self.name


class OutOfOffice(models.Model):
    """Who answers for somebody who is away, and from when to when; an open end has no ``ends_at``."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    delegate = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = verbose_name_plural = "out of office"
        ordering = ("-starts_at",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(ends_at__isnull=True) | models.Q(ends_at__gt=models.F("starts_at")),
                name="out_of_office_ends_later",
            ),
            models.CheckConstraint(
                condition=~models.Q(user=models.F("delegate")), name="out_of_office_names_another"
            ),
        )
        indexes = (models.Index(fields=("delegate", "workspace"), name="out_of_office_delegate"),)

    def __str__(self) -> str:
        return f"{self.user_id} by {self.delegate_id}"


class ApprovalEvent(models.Model):
    """One thing that happened to an approval, in order per workspace: what ``/ws/approvals`` replays by ``id``."""

    workspace_id = models.BigIntegerField()
    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="events")
    type = models.CharField(max_length=32)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("id",)
        indexes = (models.Index(fields=("workspace_id", "id"), name="approval_event_order"),)

    def __str__(self) -> str:
        return f"{self.id} {self.type}"

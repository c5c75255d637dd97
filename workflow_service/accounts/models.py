"""Who may do what, where: users, workspaces, roles in them, and API keys."""

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models

from workflow_service.identifiers import new_id


class Role(models.TextChoices):
    """Document A's five roles; what each may do is in ``policies.py``."""

    ADMIN = "workflow_admin", "Admin"
    DEVELOPER = "workflow_developer", "Developer"
    OPERATOR = "workflow_operator", "Operator"
    APPROVER = "workflow_approver", "Approver"
    VIEWER = "workflow_viewer", "Viewer"


def new_workspace_id() -> str:
    return new_id("ws")


def new_user_id() -> str:
    return new_id("user")


class User(AbstractUser):
    """A person or a machine that signs in. What it may do comes from its memberships alone."""

    public_id = models.CharField(max_length=40, unique=True, default=new_user_id, editable=False)

    # The API key this user came in with, if any: it narrows what the user may do. Not a column.
    acting_key: "ApiKey | None" = None

    # The session with which this user opened a socket, if it was one. Not a column.
    session: str | None = None


class Workspace(models.Model):
    """A tenant: every template, execution and approval belongs to exactly one."""

    public_id = models.CharField(max_length=40, unique=True, default=new_workspace_id, editable=False)
    name = models.CharField(max_length=255)
    slug = models.SlugField(max_length=100, unique=True)
    members = models.ManyToManyField(User, through="Membership", related_name="workspaces")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One role of one user in one workspace; several rows give several roles."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=32, choices=Role.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("workspace", "user", "role"), name="membership_once"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
        )

    def __str__(self) -> str:
        return f"{self.user} is {self.get_role_display()} in {self.workspace}"


class ApiKey(models.Model):
    """A key for machines, bound to one user and one workspace. Only the SHA-256 of its secret is kept."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="api_keys")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, unique=True)
    digest = models.CharField(max_length=64)
    scopes = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class IdempotentRequest(models.Model):
    """The answer to a POST that bore an ``Idempotency-Key``; ``answer`` is null where it must not be kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    status = models.SmallIntegerField()
    answer = models.JSONField(null=True)
    headers = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("user", "key"), name="idempotent_request_once"),)
        indexes = (models.Index(fields=("created_at",), name="idempotent_request_age"),)

    def __str__(self) -> str:
        return self.key

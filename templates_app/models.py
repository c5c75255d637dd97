"""What could run: templates and their immutable versions, and with whom they are shared.

The table of templates has two columns more than its model: ``search.py`` says what they are for.
"""

from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models

from workflow_service.accounts.models import Workspace
from workflow_service.accounts.policies import ShareRight
from workflow_service.engine.states import TemplateStatus
from workflow_service.identifiers import new_id


def new_template_id() -> str:
    return new_id("tpl")


MAX_NL_DESCRIPTION = 20_000


class Template(models.Model):
    """A named workflow of one workspace. What it does is in its versions; this row is what people search by.

    ``nl_description`` is the text it was generated from. ``created_by`` is None where the owner made it.
    ``library_slug`` names the ready template it was installed from.
    ``optimization_score`` (0 to 100) and ``ai_suggestions`` are of the moment ``last_optimization_check``.
    """

    class Door(models.TextChoices):
        A = "a", "templates API"
        B = "b", "workflows API"

    public_id = models.CharField(max_length=40, unique=True, default=new_template_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="templates")
    name = models.CharField(max_length=255)
    description = models.TextField(max_length=2_000, blank=True)
    nl_description = models.TextField(max_length=MAX_NL_DESCRIPTION, blank=True)
    category = models.CharField(max_length=100, blank=True)
    complexity = models.CharField(max_length=20, blank=True)
    estimated_duration_s = models.PositiveIntegerField(null=True, blank=True)
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    status = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in TemplateStatus], default=TemplateStatus.DRAFT
    )
    deprecation_note = models.CharField(max_length=500, blank=True)
    library_slug = models.CharField(max_length=100, blank=True, default="", db_default="", editable=False)
    door = models.CharField(max_length=1, choices=Door.choices, default=Door.A)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="templates")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    current_version = models.ForeignKey(
        "TemplateVersion", on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)
    optimization_score = models.PositiveSmallIntegerField(null=True, editable=False)
    last_optimization_check = models.DateTimeField(null=True, editable=False)
    ai_suggestions = models.JSONField(null=True, editable=False)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(status__in=[s.value for s in TemplateStatus]), name="template_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(optimization_score__isnull=True) | models.Q(optimization_score__lte=100),
                name="template_score_is_of_100",
            ),
        )
        indexes = (
            models.Index(fields=("workspace", "-id"), name="template_by_workspace"),
            models.Index(fields=("workspace", "category"), name="template_by_category"),
            GinIndex(fields=("tags",), name="template_by_tag"),
        )

    def __str__(self) -> str:
        return self.name


class TemplateVersion(models.Model):
    """One immutable definition of a template. Runs are pinned to one of these."""

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="versions")
    ordinal = models.PositiveIntegerField()
    label = models.CharField(max_length=32)
    definition = models.JSONField()
    definition_sha256 = models.CharField(max_length=64)
    # The digests of the files it names, by kind and name: {"scripts": {"extract.py": "…"}}.
    pinned = models.JSONField(default=dict, db_default={})
    change_note = models.CharField(max_length=500, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("template", "-ordinal")
        constraints = (
            models.UniqueConstraint(fields=("template", "ordinal"), name="version_ordinal_once"),
            models.UniqueConstraint(fields=("template", "label"), name="version_label_once"),
        )

    def __str__(self) -> str:
        return f"{self.template} {self.label}"

    @property
    def pinned_files(self) -> list[tuple[str, str, str]]:
        """The files it runs with: kind, name and SHA-256, in order."""
        return [
            (kind, name, names[name]) for kind, names in sorted(self.pinned.items()) for name in sorted(names)
        ]


class TemplateShare(models.Model):
    """One right on one template that a user, or whoever is in a group, has beyond what roles give."""

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="shares")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    group = models.ForeignKey(Group, on_delete=models.CASCADE, null=True, related_name="+")
    right = models.CharField(max_length=20, choices=[(right.value, right.value) for right in ShareRight])
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("template", "id")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(user__isnull=True) ^ models.Q(group__isnull=True),
                name="share_is_with_a_user_or_a_group",
            ),
            models.CheckConstraint(
                condition=models.Q(right__in=[right.value for right in ShareRight]), name="share_right_known"
            ),
            models.UniqueConstraint(fields=("template", "user", "right"), name="share_once_per_user"),
            models.UniqueConstraint(fields=("template", "group", "right"), name="share_once_per_group"),
        )

    def __str__(self) -> str:
        return f"{self.right} on {self.template} for {self.grantee}"

    @property
    def grantee(self) -> str:
        """Whom it is for, as approvals name their assignees: ``user:NAME`` or ``group:NAME``."""
        return f"group:{self.group.name}" if self.group else f"user:{self.user}"

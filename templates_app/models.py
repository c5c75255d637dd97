"""What could run: templates and their immutable versions."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from workflow_service.accounts.models import Workspace
from workflow_service.engine.states import TemplateStatus
from workflow_service.identifiers import new_id


def new_template_id() -> str:
    return new_id("tpl")


class Template(models.Model):
    """A named workflow of one workspace. What it does is in its versions; this row is what people search by."""

    class Door(models.TextChoices):
        A = "a", "templates API"
        B = "b", "workflows API"

    public_id = models.CharField(max_length=40, unique=True, default=new_template_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="templates")
    name = models.CharField(max_length=255)
    description = models.TextField(max_length=2_000, blank=True)
    category = models.CharField(max_length=100, blank=True)
    complexity = models.CharField(max_length=20, blank=True)
    estimated_duration_s = models.PositiveIntegerField(null=True, blank=True)
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    status = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in TemplateStatus], default=TemplateStatus.DRAFT
    )
    door = models.CharField(max_length=1, choices=Door.choices, default=Door.A)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="templates")
    current_version = models.ForeignKey(
        "TemplateVersion", on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(status__in=[s.value for s in TemplateStatus]), name="template_status_known"
            ),
        )
        indexes = (
            models.Index(fields=("workspace", "-id"), name="template_by_workspace"),
            models.Index(fields=("workspace", "category"), name="template_by_category"),
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

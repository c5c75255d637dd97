"""Suggestions, their replays and what came of them (document B section 6.7)."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from templates_app.models import Template, TemplateVersion
from workflow_service.accounts.models import Workspace
from workflow_service.advisor.vocabulary import Effort, Kind, Measure, Source, Status, Type
from workflow_service.identifiers import new_id

# What a reader still follows, and what keeps a run's answer small.
MAX_BLOCKS = 100

TYPE_CHOICES = [(one.value, "user experience" if one is Type.UX else one.value) for one in Type]


def new_optimization_id() -> str:
    return new_id("opt")


class OptimizationRecord(models.Model):
    """One suggestion about one version of a template, with the version it would make and what that was worth.

    ``definition`` is the whole changed definition; ``proposed_changes`` says the same in words of the engine, and
    ``evidence`` the numbers behind it. ``kind`` and ``subject`` are what it is about: of those that are open there is
    one. Improvements are percent by which ``measure`` falls; the actual one is below 0 where it rose, and None until
    enough runs of ``accepted_version`` have ended. ``priority`` 1 is the most urgent. ``source`` says whose idea it
    was, ``worded_by`` which model found the words (empty: rules did).
    """

    public_id = models.CharField(max_length=40, unique=True, default=new_optimization_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="optimizations")
    base_version = models.ForeignKey(TemplateVersion, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=16, choices=[(kind.value, kind.value) for kind in Kind])
    subject = models.CharField(max_length=2_000)
    blocks = ArrayField(models.CharField(max_length=100), default=list, size=MAX_BLOCKS)
    type = models.CharField(max_length=16, choices=TYPE_CHOICES)
    title = models.CharField(max_length=200)
    description = models.CharField(max_length=1_000)
    ai_reasoning = models.CharField(max_length=2_000, blank=True)
    source = models.CharField(max_length=8, choices=[(one.value, one.value) for one in Source])
    worded_by = models.CharField(max_length=200, blank=True)
    measure = models.CharField(max_length=8, choices=[(one.value, one.value) for one in Measure])
    estimated_improvement = models.PositiveSmallIntegerField()
    implementation_effort = models.CharField(
        max_length=8, choices=[(effort.value, effort.value) for effort in Effort]
    )
    priority = models.PositiveSmallIntegerField()
    proposed_changes = models.JSONField(default=dict)
    evidence = models.JSONField(default=dict)
    definition = models.JSONField()
    status = models.CharField(
        max_length=12, choices=[(one.value, one.value) for one in Status], default=Status.SUGGESTED
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=500, blank=True)
    accepted_version = models.ForeignKey(
        TemplateVersion, on_delete=models.CASCADE, null=True, related_name="optimizations"
    )
    implemented_at = models.DateTimeField(null=True)
    actual_improvement = models.IntegerField(null=True)
    measurement = models.JSONField(null=True)
    measured_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = "suggestion"
        constraints = (
            models.UniqueConstraint(
                fields=("template", "kind", "subject"),
                condition=Q(status=Status.SUGGESTED.value),
                name="suggestion_open_once",
            ),
            models.CheckConstraint(
                condition=Q(status__in=[one.value for one in Status]), name="suggestion_status_known"
            ),
            models.CheckConstraint(
                condition=Q(estimated_improvement__lte=100), name="suggestion_improves_by_percent"
            ),
            models.CheckConstraint(
                condition=Q(priority__gte=1) & Q(priority__lte=5), name="suggestion_priority_1_to_5"
            ),
        )
        indexes = (
            models.Index(fields=("template", "status", "-id"), name="suggestion_by_template"),
            models.Index(
                fields=("accepted_version",),
                condition=Q(accepted_version__isnull=False),
                name="suggestion_by_version_made",
            ),
        )

    def __str__(self) -> str:
        return self.title

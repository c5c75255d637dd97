"""What was decided at the questions of runs, by whom and why."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from executions_app.models import Execution
from workflow_service.accounts.models import Workspace
from workflow_service.identifiers import new_id


def new_decision_id() -> str:
    return new_id("dec")


class Decision(models.Model):
    """One answer to one question of a run: which of its ``options`` were ``chosen``, by what ``source``.

    ``options`` are [{"key", "text", "targets"}]; ``chosen`` are keys of them. ``case_sha256`` is that of what was asked
    and of the values it was asked about: cases of the same hash are alike. A person who finds a decision wrong says
    what would have been right in ``override``, and that outweighs whatever was chosen. ``confidence`` is 0 to 100.
    """

    class Source(models.TextChoices):
        MODEL = "model", "language model"
        CACHE = "cache", "language model (kept answer)"
        EXPRESSION = "expression", "expression"
        HISTORY = "history", "like cases"
        DEFAULT = "default", "default"
        PERSON = "person", "person"

    public_id = models.CharField(max_length=40, unique=True, default=new_decision_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="decisions")
    # Rows of a run go with the run.
    block_execution_id = models.BigIntegerField(unique=True)
    block_id = models.CharField(max_length=1_000)
    question = models.TextField(blank=True)
    options = models.JSONField(default=list)
    chosen = ArrayField(models.TextField())
    source = models.CharField(max_length=12, choices=Source.choices)
    reasoning = models.TextField(blank=True)
    confidence = models.FloatField(null=True)
    model = models.CharField(max_length=200, blank=True)
    prompt = models.CharField(max_length=100, blank=True)
    cost_usd = models.DecimalField(max_digits=16, decimal_places=8, default=0)
    tokens = models.PositiveIntegerField(default=0)
    cached = models.BooleanField(default=False)
    case_sha256 = models.CharField(max_length=64)
    shown = models.JSONField(default=dict)
    decided_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField()
    override = ArrayField(models.TextField(), null=True, blank=True)
    overridden_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    overridden_at = models.DateTimeField(null=True, blank=True)
    override_reason = models.TextField(blank=True)
    rerouted = models.BooleanField(default=False)

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(fields=("workspace", "case_sha256", "-id"), name="decision_like_cases"),
            models.Index(fields=("workspace", "-id"), name="decision_newest"),
            models.Index(fields=("execution", "id"), name="decision_of_run"),
            models.Index(fields=("workspace", "source", "-id"), name="decision_by_source"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(
                    source__in=("model", "cache", "expression", "history", "default", "person")
                ),
                name="decision_source_known",
            ),
            models.CheckConstraint(
                condition=models.Q(confidence__isnull=True) | models.Q(confidence__range=(0, 100)),
                name="decision_confidence_is_percent",
            ),
        )

    def __str__(self) -> str:
        return f"{self.block_id}: {', '.join(self.right)}"

    @property
    def right(self) -> list[str]:
        """The keys that hold: a person's where one has said what is right, else those chosen."""
        return self.chosen if self.override is None else self.override

"""Anomalies of runs, the histories they are judged by, and what predicts the failure of runs that go on."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from executions_app.models import Execution
from templates_app.models import Template, TemplateVersion
from workflow_service.accounts.models import Workspace
from workflow_service.anomalies.detection import UNITS, Kind


class Anomaly(models.Model):
    """One thing that was unusual about one run; ``block_id`` is empty where it is about the run as a whole.

    ``value`` and what was expected, ``low`` to ``high``, are in the kind's unit. ``score`` is how surprising it is: 3
    is one in a thousand. ``while_running``: it was found before the block had ended.
    """

    class Kinds(models.TextChoices):
        DURATION = Kind.DURATION.value, "Duration"
        ERROR_RATE = Kind.ERROR_RATE.value, "Error rate"
        OUTPUT_SIZE = Kind.OUTPUT_SIZE.value, "Output size"
        PATH = Kind.PATH.value, "Path"

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="+", db_index=False)
    version = models.ForeignKey(TemplateVersion, on_delete=models.CASCADE, related_name="+", db_index=False)
    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="anomalies", db_constraint=False, db_index=False
    )
    kind = models.CharField(max_length=12, choices=Kinds.choices)
    block_id = models.CharField(max_length=1_000, blank=True)
    value = models.FloatField()
    low = models.FloatField()
    high = models.FloatField()
    score = models.FloatField()
    runs = models.IntegerField()
    explanation = models.TextField()
    while_running = models.BooleanField(default=False)
    detected_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "anomalies"
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("execution", "kind", "block_id"), name="anomaly_once"),
            models.CheckConstraint(
                condition=models.Q(kind__in=[kind.value for kind in Kind]), name="anomaly_kind_known"
            ),
        )
        indexes = (
            models.Index(fields=("workspace", "-id"), name="anomaly_newest"),
            models.Index(fields=("template", "-id"), name="anomaly_by_template"),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.block_id or 'the run'}"

    @property
    def unit(self) -> str:
        """What ``value``, ``low`` and ``high`` are in."""
        return UNITS[Kind(self.kind)]


class BlockHistory(models.Model):
    """The last runs of one block of one template version, or of its runs as a whole (an empty ``block_id``).

    The columns are those of ``history.History``. ``long_ms`` is how long the block may run before that is unusual, None
    while too little is known.
    """

    version = models.ForeignKey(TemplateVersion, on_delete=models.CASCADE, related_name="+", db_index=False)
    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="+", db_index=False)
    block_id = models.CharField(max_length=1_000, blank=True)
    durations_ms = ArrayField(models.IntegerField(), default=list)
    sizes_bytes = ArrayField(models.IntegerField(), default=list)
    outcomes = models.TextField(blank=True)
    alarmed = models.BooleanField(default=False)
    runs = models.BigIntegerField(default=0)
    paths = ArrayField(models.CharField(max_length=16), default=list)
    long_ms = models.BigIntegerField(null=True)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("version", "block_id"), name="block_history_once"),)
        indexes = (
            models.Index(
                fields=("template", "-version"), condition=models.Q(block_id=""), name="history_of_template"
            ),
        )

    def __str__(self) -> str:
        return f"{self.block_id or 'runs'} of version {self.version_id}"


class Observation(models.Model):
    """What was known of a run at several moments while it ran, and how it ended: what predictions are learned from.

    ``features`` has a row for each moment, with the columns of ``features.NAMES``.
    """

    execution = models.OneToOneField(
        Execution, on_delete=models.CASCADE, primary_key=True, related_name="+", db_constraint=False
    )
    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="+", db_index=False)
    failed = models.BooleanField()
    features = models.JSONField()

    class Meta:
        indexes = (models.Index(fields=("template", "-execution"), name="observation_of_template"),)

    def __str__(self) -> str:
        return f"observation of execution {self.execution_id}"


class FailurePredictor(models.Model):
    """What predicts the failure of a template's runs, and how well it did on runs later than those it was fitted on.

    ``unfitted`` counts the observations since it was fitted. ``model`` is None until there is history enough, and
    ``useful`` says whether its predictions beat the base rate's, when it was judged and since: where they do not, none
    is shown.
    """

    template = models.OneToOneField(Template, on_delete=models.CASCADE, primary_key=True, related_name="+")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    unfitted = models.IntegerField(default=0)
    model = models.JSONField(null=True)
    useful = models.BooleanField(default=False)
    fitted_on = models.IntegerField(default=0)
    judged_on = models.IntegerField(default=0)
    base_rate = models.FloatField(null=True)
    brier = models.FloatField(null=True)
    base_brier = models.FloatField(null=True)
    fitted_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (
            models.Index(fields=("unfitted",), condition=models.Q(unfitted__gt=0), name="predictor_unfitted"),
        )

    def __str__(self) -> str:
        return f"predictor of template {self.template_id}"

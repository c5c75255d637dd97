"""Experiments, and which run went which way. What an arm did is never summed up in a row: it is asked of its runs."""

from decimal import Decimal

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now

from executions_app.models import Execution
from templates_app.models import Template, TemplateVersion
from workflow_service.accounts.models import Workspace
from workflow_service.identifiers import new_id

DEFAULT_ALPHA = Decimal("0.05")
DEFAULT_MIN_UNITS = 30
DEFAULT_ERROR_INCREASE = Decimal("5")
DEFAULT_DURATION_RATIO = Decimal("1.5")


def new_experiment_id() -> str:
    return new_id("expt")


class Arm(models.TextChoices):
    """What a run of an experiment gets."""

    CONTROL = "control", "Control"
    TREATMENT = "treatment", "Treatment"


class Metric(models.TextChoices):
    """What decides. Success rate: the higher the better; the others: the lower."""

    SUCCESS_RATE = "success_rate", "Success rate"
    DURATION = "duration", "Duration"
    COST = "cost", "Cost"


class Experiment(models.Model):
    """A comparison of two versions of a template on its real runs.

    While it is running the template's current version is ``control``, and a start that names no version gets
    ``treatment`` with the chance ``treatment_share``, in percent. ``sticky_by`` says what goes the same way each time:
    nothing (each run for itself), a starter, or what ``sticky_expression`` reads in the input. It is stopped when
    ``metric`` is decided at ``alpha`` (with at least ``min_units`` an arm), by a person, or at ``ends_at``. It is
    rolled back when the treatment is worse than chance explains, and fails more often by ``max_error_increase``
    percentage points or takes longer by the factor ``max_duration_ratio`` (None: that is not watched).

    ``news`` rises when runs have ended; ``results`` are those of ``news_evaluated``, read at ``evaluated_at`` in
    ``evaluation_ms``. ``ended_because`` is for people.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        RUNNING = "running", "Running"
        STOPPED = "stopped", "Stopped"
        ROLLED_BACK = "rolled_back", "Rolled back"

    class StickyBy(models.TextChoices):
        RUN = "run", "each run for itself"
        STARTER = "starter", "whoever starts it"
        INPUT = "input", "a value of the input"

    public_id = models.CharField(max_length=40, unique=True, default=new_experiment_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="experiments")
    template = models.ForeignKey(Template, on_delete=models.PROTECT, related_name="experiments")
    control = models.ForeignKey(TemplateVersion, on_delete=models.PROTECT, related_name="+")
    treatment = models.ForeignKey(TemplateVersion, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)
    hypothesis = models.TextField(max_length=2_000, blank=True)
    treatment_share = models.PositiveSmallIntegerField(
        default=50, validators=[MinValueValidator(1), MaxValueValidator(99)]
    )
    sticky_by = models.CharField(max_length=8, choices=StickyBy.choices, default=StickyBy.RUN)
    sticky_expression = models.CharField(max_length=500, blank=True)
    metric = models.CharField(max_length=16, choices=Metric.choices, default=Metric.SUCCESS_RATE)
    alpha = models.DecimalField(
        max_digits=4,
        decimal_places=3,
        default=DEFAULT_ALPHA,
        validators=[MinValueValidator(Decimal("0.001")), MaxValueValidator(Decimal("0.5"))],
    )
    min_units = models.PositiveIntegerField(
        default=DEFAULT_MIN_UNITS, validators=[MinValueValidator(20), MaxValueValidator(1_000_000)]
    )
    max_error_increase = models.DecimalField(
        max_digits=5,
        decimal_places=2,
        null=True,
        blank=True,
        default=DEFAULT_ERROR_INCREASE,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
    )
    max_duration_ratio = models.DecimalField(
        max_digits=5,
        decimal_places=2,
        null=True,
        blank=True,
        default=DEFAULT_DURATION_RATIO,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
    )
    ends_at = models.DateTimeField(null=True, blank=True)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.DRAFT)
    winner = models.CharField(max_length=9, choices=Arm.choices, blank=True)
    ended_because = models.CharField(max_length=500, blank=True)
    promoted_version = models.ForeignKey(
        TemplateVersion, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    results = models.JSONField(null=True, editable=False)
    news = models.PositiveBigIntegerField(default=0, editable=False)
    news_evaluated = models.PositiveBigIntegerField(default=0, editable=False)
    evaluated_at = models.DateTimeField(null=True, editable=False)
    evaluation_ms = models.PositiveIntegerField(default=0, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(status__in=["draft", "running", "stopped", "rolled_back"]),
                name="experiment_status_known",
            ),
            models.CheckConstraint(
                condition=models.Q(treatment_share__gte=1, treatment_share__lte=99),
                name="experiment_share_leaves_both",
            ),
            models.CheckConstraint(
                condition=~models.Q(control=models.F("treatment")),
                name="experiment_compares_two",
                violation_error_message="The treatment must be another version than the control.",
            ),
            models.UniqueConstraint(
                fields=("template",),
                condition=models.Q(status="running"),
                name="experiment_runs_alone_on_its_template",
            ),
        )
        indexes = (models.Index(fields=("workspace", "-id"), name="experiment_by_workspace"),)

    def __str__(self) -> str:
        return self.name


class Assignment(models.Model):
    """One run of an experiment: the arm it got when it began, and how it ended the first time.

    ``unit`` is a digest of what goes the same way each time; the runs of a unit are not independent of each other.
    ``outcome`` is the run's status at its first end, empty until then: what people restarted and mended afterwards is
    not the version's doing. ``active_ms`` is without waiting for people and pauses; ``cost_usd`` is what it and its
    sub-workflows paid for language models. The row outlives the run.
    """

    execution = models.OneToOneField(
        Execution,
        on_delete=models.DO_NOTHING,
        primary_key=True,
        db_constraint=False,
        related_name="assignment",
    )
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="assignments")
    arm = models.CharField(max_length=9, choices=Arm.choices)
    unit = models.BigIntegerField()
    outcome = models.CharField(max_length=12, blank=True, db_default="")
    active_ms = models.BigIntegerField(null=True)
    cost_usd = models.FloatField(null=True)
    assigned_at = models.DateTimeField(db_default=Now())
    counted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-execution_id",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(arm__in=["control", "treatment"]), name="assignment_arm_known"
            ),
        )

    def __str__(self) -> str:
        return f"{self.arm} of {self.experiment_id} for execution {self.execution_id}"

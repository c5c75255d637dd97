"""Rollups: what happened in each hour and on each day, by template version and block, and what each run added to it."""

from django.db import models

from executions_app.models import Execution
from templates_app.models import Template, TemplateVersion
from workflow_service.accounts.models import Workspace
from workflow_service.engine.states import ErrorType


class Grain(models.TextChoices):
    """How long the time is that a rollup's row is about; hours and days begin where UTC's do."""

    HOUR = "h"
    DAY = "d"


class Rollup(models.Model):
    """What became of runs of one version that were started in one hour or on one day; outlives the runs.

    ``block_id`` is empty for the runs as wholes, else the figures are of that block's rows in these runs: a block in
    a loop has one a round, a restarted one each that it had. ``duration_us`` sums the microseconds by the clock of what
    completed and ``histogram`` counts them by bucket (``histogram.py``). ``retries`` counts the work's further tries,
    ``troubled`` block executions in which work failed, and ``recovered`` those of them that completed without a
    person; in the row of the runs they are the sums over blocks.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="+", db_index=False)
    version = models.ForeignKey(TemplateVersion, on_delete=models.CASCADE, related_name="+", db_index=False)
    grain = models.CharField(max_length=1, choices=Grain.choices)
    start = models.DateTimeField()
    block_id = models.CharField(max_length=1_000, blank=True)
    completed = models.BigIntegerField()
    failed = models.BigIntegerField()
    rejected = models.BigIntegerField()
    skipped = models.BigIntegerField()
    cancelled = models.BigIntegerField()
    retries = models.BigIntegerField()
    troubled = models.BigIntegerField()
    recovered = models.BigIntegerField()
    duration_us = models.DecimalField(max_digits=30, decimal_places=0)
    histogram = models.JSONField()

    class Meta:
        verbose_name_plural = "how runs went"
        constraints = (
            models.UniqueConstraint(fields=("version", "grain", "start", "block_id"), name="rollup_once"),
        )
        indexes = (
            models.Index(fields=("template", "grain", "start"), name="rollup_by_template"),
            models.Index(
                fields=("workspace", "grain", "start"),
                condition=models.Q(block_id=""),
                name="rollup_of_runs",
            ),
        )

    def __str__(self) -> str:
        return f"{self.block_id or 'runs'} of version {self.version_id} from {self.start:%Y-%m-%d %H:%M}"


class ErrorRollup(models.Model):
    """How often work failed with one type of error in one block, in runs of one version started in one hour or day.

    Failures that were recovered count like any.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="+", db_index=False)
    version = models.ForeignKey(TemplateVersion, on_delete=models.CASCADE, related_name="+", db_index=False)
    grain = models.CharField(max_length=1, choices=Grain.choices)
    start = models.DateTimeField()
    block_id = models.CharField(max_length=1_000)
    error_type = models.CharField(max_length=40, choices=[(error.value, error.value) for error in ErrorType])
    count = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("version", "grain", "start", "block_id", "error_type"), name="error_rollup_once"
            ),
        )
        indexes = (
            models.Index(fields=("template", "grain", "start"), name="error_rollup_by_template"),
            models.Index(fields=("workspace", "grain", "start"), name="error_rollup_by_workspace"),
        )

    def __str__(self) -> str:
        return f"{self.error_type} in {self.block_id} of version {self.version_id}"


class CountedRun(models.Model):
    """What one run added to the rollups of the hour and the day it was started in: taken back when it is counted anew.

    ``figures`` are as the rollup's columns by ``block_id``, ``errors`` as the error rollup's; what is zero is left out.
    """

    execution = models.OneToOneField(
        Execution,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="counted",
        db_constraint=False,
    )
    workspace_id = models.BigIntegerField()
    template_id = models.BigIntegerField()
    version_id = models.BigIntegerField()
    hour = models.DateTimeField()
    figures = models.JSONField()
    errors = models.JSONField()

    def __str__(self) -> str:
        return f"share of execution {self.execution_id}"

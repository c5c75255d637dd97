"""What is known of the files that are kept; their bytes lie in the artifact storage."""

from django.conf import settings
from django.db import models

from workflow_service.accounts.models import Workspace
from workflow_service.artifacts.references import MAX_NAME_CHARACTERS, ArtifactRef
from workflow_service.identifiers import new_id


def new_artifact_id() -> str:
    return new_id("art")


class Artifact(models.Model):
    """One file that never changes. A row is written after its object, so what has a row can be read.

    ``work_key`` is the digest of the idempotency key of the work that made it: the same work that saves the same
    content under the same name again gets this row. ``deleted_at`` is set before the object goes.
    """

    public_id = models.CharField(max_length=48, unique=True, default=new_artifact_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="artifacts")
    name = models.CharField(max_length=MAX_NAME_CHARACTERS)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    content_type = models.CharField(max_length=127)
    storage_key = models.CharField(max_length=100, unique=True)
    # Public ids, not foreign keys: runs lie above this app, and a file outlives its run.
    execution_id = models.CharField(max_length=40, blank=True)
    block_id = models.CharField(max_length=1_000, blank=True)
    work_key = models.CharField(max_length=64, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("work_key", "name", "sha256"),
                condition=~models.Q(work_key="") & models.Q(deleted_at__isnull=True),
                name="artifact_once_per_work",
            ),
            models.CheckConstraint(condition=models.Q(size__gte=0), name="artifact_size_known"),
        )
        indexes = (
            models.Index(fields=("workspace", "-id"), name="artifact_by_workspace"),
            models.Index(
                fields=("execution_id", "id"),
                condition=~models.Q(execution_id=""),
                name="artifact_by_execution",
            ),
            models.Index(
                fields=("expires_at",),
                condition=models.Q(expires_at__isnull=False),
                name="artifact_by_expiry",
            ),
            models.Index(
                fields=("deleted_at",),
                condition=models.Q(deleted_at__isnull=False),
                name="artifact_by_deletion",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def reference(self) -> ArtifactRef:
        """What blocks pass on."""
        return ArtifactRef(
            artifact_id=self.public_id,
            name=self.name,
            size=self.size,
            sha256=self.sha256,
            content_type=self.content_type,
        )


class Pin(models.Model):
    """A reason to keep an artifact: ``holder`` is the public name of what needs it, such as a template's version."""

    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="pins")
    holder = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("artifact", "holder"), name="pin_once"),)

    def __str__(self) -> str:
        return f"{self.artifact} for {self.holder}"


class PinnedContent(models.Model):
    """The content of a file that a template's version was written with."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    sha256 = models.CharField(max_length=64)
    content = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("workspace", "sha256"), name="pinned_content_once"),)

    def __str__(self) -> str:
        return self.sha256

"""Secrets of workspaces, encrypted."""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from workflow_service.accounts.models import Workspace

NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"


class Secret(models.Model):
    """One value that the workspace's workflows may use by name, and nobody reads again.

    ``sealed`` is nonce and ciphertext under the key ``key_id``; the name is part of what the cipher authenticates, so
    it never changes. ``version`` counts how often the value was given.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="secrets")
    name = models.CharField(
        max_length=100,
        validators=[RegexValidator(NAME_PATTERN, "use letters, digits and _, and begin with no digit")],
        help_text="Workflows write ${secrets.NAME}. It cannot be changed later.",
    )
    description = models.CharField(max_length=500, blank=True)
    version = models.PositiveIntegerField(default=1, editable=False)
    key_id = models.CharField("encrypted with key", max_length=40, editable=False)
    sealed = models.BinaryField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+", editable=False
    )
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+", editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField("value given", editable=False)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(
                fields=("workspace", "name"),
                name="secret_once",
                violation_error_message="This workspace has a secret of that name already.",
            ),
            models.CheckConstraint(condition=models.Q(name__regex=NAME_PATTERN), name="secret_name_fits"),
        )
        # Rotation asks for what is not under the current key.
        indexes = (models.Index(fields=("key_id", "id"), name="secret_key"),)

    def __str__(self) -> str:
        return self.name

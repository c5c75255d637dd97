"""The shapes of artifacts."""

from typing import Any

from rest_framework import serializers

from workflow_service.api_serializers import CamelSerializer, PageQuery, QuerySerializer
from workflow_service.artifacts.models import Artifact


class UploadQuery(QuerySerializer):
    name = serializers.CharField(
        required=False, max_length=200, help_text="Its name; of a form, the file's own where not given."
    )
    sha256 = serializers.RegexField(
        r"^[0-9a-fA-F]{64}$", required=False, help_text="Refused (422) unless the file has this digest."
    )
    retention_days = serializers.IntegerField(
        required=False, min_value=1, max_value=36_500, help_text="Deleted after that; not given: kept."
    )


class ArtifactQuery(PageQuery):
    execution_id = serializers.CharField(required=False, max_length=40, help_text="Of this run only.")
    name = serializers.CharField(required=False, max_length=200, help_text="Whose names hold this.")


class ArtifactShape(CamelSerializer):
    artifact_id = serializers.CharField(help_text="What blocks take: `art_…`.")
    name = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes.")
    sha256 = serializers.CharField()
    content_type = serializers.CharField(help_text="As it was given; not to be trusted.")
    execution_id = serializers.CharField(allow_null=True, help_text="The run that made it.")
    block_id = serializers.CharField(allow_null=True)
    created_by = serializers.CharField(allow_null=True, help_text="Who uploaded it.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    content_url = serializers.CharField()


class ArtifactList(CamelSerializer):
    artifacts = ArtifactShape(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


def artifact_document(artifact: Artifact) -> dict[str, Any]:
    """Return an artifact as ``ArtifactShape`` shows it."""
    return {
        "artifact_id": artifact.public_id,
        "name": artifact.name,
        "size": artifact.size,
        "sha256": artifact.sha256,
        "content_type": artifact.content_type,
        "execution_id": artifact.execution_id or None,
        "block_id": artifact.block_id or None,
        "created_by": artifact.created_by.get_username() if artifact.created_by else None,
        "created_at": artifact.created_at,
        "expires_at": artifact.expires_at,
        "content_url": content_url(artifact),
    }


def content_url(artifact: Artifact) -> str:
    """Return where the bytes of an artifact are."""
    return f"/api/v1/artifacts/{artifact.public_id}/content"

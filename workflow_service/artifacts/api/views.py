"""Artifacts over HTTP: uploaded, listed, read, deleted."""

from typing import Any

from django.http import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.idempotency import KEY
from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.api_serializers import (
    HeaderInvalid,
    QuerySerializer,
    RequestInvalid,
    page_of,
    read_query,
)
from workflow_service.artifacts.api.downloads import download_response
from workflow_service.artifacts.api.serializers import (
    ArtifactList,
    ArtifactQuery,
    ArtifactShape,
    UploadQuery,
    artifact_document,
)
from workflow_service.artifacts.api.uploads import PARSERS, read_upload
from workflow_service.artifacts.errors import UploadRepeated
from workflow_service.artifacts.models import Artifact
from workflow_service.artifacts.selectors import get_artifact, list_artifacts
from workflow_service.artifacts.services.artifacts import (
    Origin,
    Received,
    delete_artifact,
    expiry,
    keep_file,
    received,
    work_key_of,
)
from workflow_service.engine.errors import Problem
from workflow_service.settings.config import get_config

TAGS = ["artifacts"]
UPLOAD: dict[str, Any] = {
    "application/octet-stream": OpenApiTypes.BINARY,
    "multipart/form-data": {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary"}},
    },
}


class ArtifactsView(APIView):
    """The files of a workspace."""

    parser_classes = PARSERS
    # The file itself is what a key is for: it is not read twice to compare it.
    idempotent_by_itself = True

    @extend_schema(
        summary="List artifacts",
        operation_id="artifacts_list",
        tags=TAGS,
        parameters=[ArtifactQuery],
        responses=ArtifactList,
    )
    def get(self, request: Request) -> Response:
        """List the workspace's files, newest first."""
        query = read_query(ArtifactQuery, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.ARTIFACT_READ)
        rows = list_artifacts(
            workspace, timezone.now(), execution_id=query.get("execution_id"), name=query.get("name")
        ).select_related("created_by")
        page = page_of("artifacts", rows, query, lambda some: [artifact_document(row) for row in some])
        return Response(ArtifactList(page).data)

    @extend_schema(
        summary="Upload an artifact",
        tags=TAGS,
        parameters=[UploadQuery],
        request=UPLOAD,
        responses={201: ArtifactShape, 200: ArtifactShape},
    )
    def post(self, request: Request) -> Response:
        """Keep the body, or the one file of a form, as an artifact.

        With `Idempotency-Key` the same file sent again is the same artifact (200).
        """
        query = read_query(UploadQuery, request)
        user, workspace = current_user(request), workspace_of(request)
        require(user, workspace, Action.ARTIFACT_UPLOAD)
        max_bytes = get_config().artifact_max_bytes
        upload = read_upload(request, max_bytes)
        name = query.get("name") or upload.name
        if not name:
            raise RequestInvalid(
                "the file needs a name", [Problem("NAME_MISSING", "give 'name' in the query")]
            )
        origin = Origin(work_key=_work_key(request, user, workspace), actor=user)
        with received(upload.source, max_bytes, query.get("sha256")) as file:
            _check_repeated(origin, name, file)
            artifact, new = keep_file(
                workspace_id=workspace.pk,
                name=name,
                file=file,
                content_type=upload.content_type,
                origin=origin,
                expires_at=expiry(query.get("retention_days")),
            )
        shape = ArtifactShape(artifact_document(artifact)).data
        location = {"Location": f"/api/v1/artifacts/{artifact.public_id}"}
        return Response(shape, status=201 if new else 200, headers=location)


class ArtifactView(APIView):
    """One file, without its bytes."""

    @extend_schema(
        summary="Read an artifact", tags=TAGS, parameters=[QuerySerializer], responses=ArtifactShape
    )
    def get(self, request: Request, artifact_id: str) -> Response:
        """Say what is known of a file."""
        read_query(QuerySerializer, request)
        return Response(ArtifactShape(artifact_document(readable_artifact(request, artifact_id))).data)

    @extend_schema(
        summary="Delete an artifact", tags=TAGS, parameters=[QuerySerializer], responses={204: None}
    )
    def delete(self, request: Request, artifact_id: str) -> Response:
        """Delete a file for good; refused (409) while a template's version needs it."""
        read_query(QuerySerializer, request)
        artifact = readable_artifact(request, artifact_id)
        user = current_user(request)
        require(user, artifact.workspace, Action.ARTIFACT_DELETE, owner_id=artifact.created_by_id)
        delete_artifact(artifact, actor=user)
        return Response(status=204)


class ContentView(APIView):
    """The bytes of one file."""

    @extend_schema(
        summary="Download an artifact",
        tags=TAGS,
        parameters=[QuerySerializer],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, artifact_id: str) -> HttpResponseBase:
        """Give the file as an attachment."""
        read_query(QuerySerializer, request)
        return download_response(request._request, readable_artifact(request, artifact_id))


def readable_artifact(request: Request, artifact_id: str) -> Artifact:
    """Return the artifact a request is about, if its user may read it there."""
    workspace = workspace_of(request, holding=Artifact.objects.filter(public_id=artifact_id))
    require(current_user(request), workspace, Action.ARTIFACT_READ)
    return get_artifact(workspace.pk, artifact_id, timezone.now())


def _work_key(request: Request, user: User, workspace: Workspace) -> str:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return ""
    if not KEY.fullmatch(key):
        raise HeaderInvalid("Idempotency-Key must be 1 to 255 printable characters without spaces")
    return work_key_of(f"upload:{user.pk}:{workspace.pk}:{key}")


def _check_repeated(origin: Origin, name: str, file: Received) -> None:
    """Refuse a key that was used for another file."""
    if not origin.work_key:
        return
    other = Artifact.objects.filter(work_key=origin.work_key, deleted_at__isnull=True)
    if other.exclude(name=name, sha256=file.sha256).exists():
        raise UploadRepeated("this Idempotency-Key was used for another file")

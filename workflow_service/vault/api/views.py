"""Secrets over HTTP: names are listed, values only ever sent."""

from collections.abc import Sequence

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.models import Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.api_serializers import PageQuery, QuerySerializer, page_of, read_body, read_query
from workflow_service.vault.api.serializers import NewSecret, SecretList, SecretShape, SecretValue
from workflow_service.vault.models import Secret
from workflow_service.vault.selectors import get_secret, list_secrets
from workflow_service.vault.services.secrets import create_secret, delete_secret, replace_secret
from workflow_service.vault.usage import users_of

TAGS = ["secrets"]


class SecretsView(APIView):
    """The secrets of a workspace."""

    @extend_schema(
        summary="List secrets",
        operation_id="secrets_list",
        tags=TAGS,
        parameters=[PageQuery],
        responses=SecretList,
    )
    def get(self, request: Request) -> Response:
        """List the workspace's secrets by name, with the templates that name them. Values are never given."""
        query = read_query(PageQuery, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.SECRET_READ)
        rows = list_secrets(workspace)
        page = page_of("secrets", rows, query, lambda some: _with_users(workspace, some))
        return Response(SecretList(page).data)

    @extend_schema(summary="Keep a secret", tags=TAGS, request=NewSecret, responses={201: SecretShape})
    def post(self, request: Request) -> Response:
        """Keep a value under a new name."""
        body = read_body(NewSecret, request)
        user, workspace = current_user(request), workspace_of(request, body=body)
        secret = create_secret(
            workspace=workspace,
            actor=user,
            name=body["name"],
            value=body["value"],
            description=body.get("description", ""),
        )
        headers = {"Location": f"/api/v1/secrets/{secret.name}"}
        return Response(_shape(workspace, secret), status=201, headers=headers)


class SecretView(APIView):
    """One secret."""

    @extend_schema(
        summary="Read about a secret", tags=TAGS, parameters=[QuerySerializer], responses=SecretShape
    )
    def get(self, request: Request, name: str) -> Response:
        """Say who gave the value when, and which templates name it."""
        return Response(_shape(*_readable(request, name)))

    @extend_schema(
        summary="Replace a secret's value",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=SecretValue,
        responses=SecretShape,
    )
    def put(self, request: Request, name: str) -> Response:
        """Give it another value; blocks that begin from now on use it."""
        workspace, secret = _readable(request, name)
        body = read_body(SecretValue, request)
        replaced = replace_secret(
            secret=secret,
            actor=current_user(request),
            value=body["value"],
            description=body.get("description"),
        )
        return Response(_shape(workspace, replaced))

    @extend_schema(summary="Delete a secret", tags=TAGS, parameters=[QuerySerializer], responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Delete it for good; blocks that name it fail from now on."""
        _, secret = _readable(request, name)
        delete_secret(secret=secret, actor=current_user(request))
        return Response(status=204)


def _readable(request: Request, name: str) -> tuple[Workspace, Secret]:
    read_query(QuerySerializer, request)
    workspace = workspace_of(request)
    require(current_user(request), workspace, Action.SECRET_READ)
    return workspace, get_secret(workspace, name)


def _shape(workspace: Workspace, secret: Secret) -> dict[str, object]:
    [shown] = _with_users(workspace, [secret])
    return dict(SecretShape(shown).data)


def _with_users(workspace: Workspace, secrets: Sequence[Secret]) -> list[dict[str, object]]:
    """Return secrets as they are shown, with who names them."""
    users = users_of(workspace, [secret.name for secret in secrets])
    return [
        {
            "name": secret.name,
            "description": secret.description,
            "version": secret.version,
            "key_id": secret.key_id,
            "created_at": secret.created_at,
            "created_by": secret.created_by.get_username() if secret.created_by else None,
            "updated_at": secret.updated_at,
            "updated_by": secret.updated_by.get_username() if secret.updated_by else None,
            "used_by": users[secret.name],
        }
        for secret in secrets
    ]

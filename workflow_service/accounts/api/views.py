"""Sign-in, who am I, workspaces and API keys."""

from django.contrib.auth import authenticate
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.api.serializers import (
    ApiKeyList,
    ApiKeyRequest,
    ApiKeyShape,
    Credentials,
    Me,
    NewApiKeyShape,
    Refresh,
    TicketShape,
    Tokens,
    WorkspaceList,
)
from workflow_service.accounts.api_keys import create_api_key, revoke_api_key
from workflow_service.accounts.errors import InvalidCredentials
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action, key_permits, permits
from workflow_service.accounts.selectors import get_api_key, list_api_keys, list_memberships
from workflow_service.accounts.throttles import LoginThrottle
from workflow_service.accounts.tickets import LIFETIME_S, issue_ticket
from workflow_service.accounts.tokens import TokenPair, issue_tokens, refresh_tokens
from workflow_service.api_serializers import PageQuery, QuerySerializer, page_of, read_body, read_query
from workflow_service.audit.logins import record_login


class TokenView(APIView):
    """Sign in with a user name and a password."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (LoginThrottle,)

    @extend_schema(summary="Sign in", tags=["accounts"], auth=[], request=Credentials, responses=Tokens)
    def post(self, request: Request) -> Response:
        """Give an access and a refresh token."""
        body = read_body(Credentials, request)
        user = authenticate(request._request, username=body["username"], password=body["password"])
        if not isinstance(user, User):
            raise InvalidCredentials("the user name or the password is not right")
        record_login(user, by="token")
        return _tokens(issue_tokens(user))


class TokenRefreshView(APIView):
    """Stay signed in."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (LoginThrottle,)

    @extend_schema(summary="Renew tokens", tags=["accounts"], auth=[], request=Refresh, responses=Tokens)
    def post(self, request: Request) -> Response:
        """Give new tokens for a refresh token."""
        return _tokens(refresh_tokens(read_body(Refresh, request)["refresh"]))


class MeView(APIView):
    """The user behind the credentials."""

    @extend_schema(summary="Who am I", tags=["accounts"], responses=Me)
    def get(self, request: Request) -> Response:
        """Say who asks, and what they may do where."""
        user = current_user(request)
        shape = {
            "user_id": user.public_id,
            "username": user.get_username(),
            "email": user.email,
            "workspaces": _workspaces(user),
            "api_key": user.acting_key.prefix if user.acting_key else None,
        }
        return Response(Me(shape).data)


class WebSocketTicketsView(APIView):
    """Tickets for WebSockets."""

    keeps_answer = False

    @extend_schema(
        summary="Get a WebSocket ticket", tags=["accounts"], request=None, responses={201: TicketShape}
    )
    def post(self, request: Request) -> Response:
        """Give a ticket that opens one WebSocket as you, within seconds."""
        ticket = {"ticket": issue_ticket(current_user(request)), "expires_in": LIFETIME_S}
        return Response(TicketShape(ticket).data, status=201, headers={"Cache-Control": "no-store"})


class WorkspacesView(APIView):
    """The workspaces of the user."""

    @extend_schema(
        summary="List your workspaces",
        operation_id="workspaces_list",
        tags=["accounts"],
        responses=WorkspaceList,
    )
    def get(self, request: Request) -> Response:
        """List every workspace the user is a member of."""
        found = _workspaces(current_user(request))
        return Response(WorkspaceList({"workspaces": found, "total": len(found)}).data)


class ApiKeysView(APIView):
    """Keys for machines."""

    keeps_answer = False

    @extend_schema(
        summary="List API keys",
        operation_id="api_keys_list",
        tags=["accounts"],
        parameters=[PageQuery],
        responses=ApiKeyList,
    )
    def get(self, request: Request) -> Response:
        """List your keys; everybody's in the workspace for who may manage keys. Secrets are not kept."""
        query = read_query(PageQuery, request)
        keys = list_api_keys(current_user(request), workspace_of(request))
        return Response(ApiKeyList(page_of("api_keys", keys, query)).data)

    @extend_schema(
        summary="Make an API key", tags=["accounts"], request=ApiKeyRequest, responses={201: NewApiKeyShape}
    )
    def post(self, request: Request) -> Response:
        """Make a key that acts as you in one workspace. Its text is in this answer only."""
        body = read_body(ApiKeyRequest, request)
        made = create_api_key(
            user=current_user(request),
            workspace=workspace_of(request, body=body),
            name=body["name"],
            scopes=body.get("scopes"),
            expires_at=body.get("expires_at"),
            now=timezone.now(),
        )
        return Response(ApiKeyShape(made.key).data | {"apiKey": made.secret}, status=201)


class ApiKeyView(APIView):
    """One key."""

    @extend_schema(
        summary="Revoke an API key", tags=["accounts"], parameters=[QuerySerializer], responses={204: None}
    )
    def delete(self, request: Request, prefix: str) -> Response:
        """End a key at once. A key that is revoked already stays so."""
        read_query(QuerySerializer, request)
        user = current_user(request)
        revoke_api_key(get_api_key(user, workspace_of(request), prefix), actor=user, now=timezone.now())
        return Response(status=204)


def _tokens(pair: TokenPair) -> Response:
    shape = {
        "access": pair.access,
        "refresh": pair.refresh,
        "token_type": "Bearer",
        "expires_in": pair.expires_in_s,
    }
    return Response(Tokens(shape).data, headers={"Cache-Control": "no-store"})


def _workspaces(user: User) -> list[dict[str, object]]:
    return [
        {
            "workspace_id": workspace.public_id,
            "name": workspace.name,
            "slug": workspace.slug,
            "roles": [role.value for role in roles],
            "actions": [
                action.value
                for action in Action
                if permits(roles, action) and key_permits(user, workspace, action)
            ],
        }
        for workspace, roles in list_memberships(user)
    ]

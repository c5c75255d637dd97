"""The shapes of sign-in, workspaces and API keys."""

from rest_framework import serializers

from workflow_service.accounts.models import Role
from workflow_service.accounts.policies import KEY_SCOPES, Action
from workflow_service.api_serializers import CamelSerializer


class Credentials(CamelSerializer):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=256, trim_whitespace=False, style={"input_type": "password"})


class Refresh(CamelSerializer):
    refresh = serializers.CharField(max_length=4_096)


class Tokens(CamelSerializer):
    access = serializers.CharField(help_text="For `Authorization: Bearer …`.")
    refresh = serializers.CharField(help_text="Gives new tokens at /api/v1/auth/token/refresh.")
    token_type = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Life of the access token, in seconds.")


class WorkspaceShape(CamelSerializer):
    workspace_id = serializers.CharField()
    name = serializers.CharField()
    slug = serializers.CharField()
    roles = serializers.ListField(child=serializers.ChoiceField(Role.choices), help_text="Your roles there.")
    actions = serializers.ListField(
        child=serializers.ChoiceField([action.value for action in Action]),
        help_text="What you may do there; to templates of your own and runs you started, more.",
    )


class WorkspaceList(CamelSerializer):
    workspaces = WorkspaceShape(many=True)
    total = serializers.IntegerField()


class Me(CamelSerializer):
    user_id = serializers.CharField()
    username = serializers.CharField()
    email = serializers.CharField(allow_blank=True)
    workspaces = WorkspaceShape(many=True)
    api_key = serializers.CharField(allow_null=True, help_text="Prefix of the API key you came in with.")


class ApiKeyRequest(CamelSerializer):
    name = serializers.CharField(max_length=100)
    workspace_id = serializers.CharField(max_length=64, required=False)
    scopes = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        max_length=50,
        help_text=f"Some of {', '.join(sorted(KEY_SCOPES))}; not given: all of them.",
    )
    expires_at = serializers.DateTimeField(
        required=False, help_text="At most 366 days ahead; not given: in 90 days."
    )


class ApiKeyShape(CamelSerializer):
    prefix = serializers.CharField()
    name = serializers.CharField()
    user = serializers.CharField(source="user.username")
    workspace_id = serializers.CharField(source="workspace.public_id")
    scopes = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)


class NewApiKeyShape(ApiKeyShape):
    api_key = serializers.CharField(help_text="The key itself, shown this once.")


class ApiKeyList(CamelSerializer):
    api_keys = ApiKeyShape(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class TicketShape(CamelSerializer):
    ticket = serializers.CharField(
        help_text="Offer it as the WebSocket subprotocol `ticket.VALUE`; once only."
    )
    expires_in = serializers.IntegerField(help_text="Its life, in seconds.")

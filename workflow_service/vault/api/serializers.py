"""The shapes of secrets: a value goes in and never comes out."""

from rest_framework import serializers

from workflow_service.api_serializers import CamelSerializer
from workflow_service.vault.models import NAME_PATTERN
from workflow_service.vault.services.secrets import MAX_VALUE_BYTES


class SecretValue(CamelSerializer):
    value = serializers.CharField(
        max_length=MAX_VALUE_BYTES,
        trim_whitespace=False,
        style={"input_type": "password"},
        help_text="Kept encrypted, and never given back; at least 4 characters.",
    )
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)


class NewSecret(SecretValue):
    name = serializers.RegexField(
        NAME_PATTERN,
        max_length=100,
        error_messages={"invalid": "A name is letters, digits and _, and begins with no digit."},
        help_text="Workflows write `${secrets.NAME}`. It cannot be changed.",
    )
    workspace_id = serializers.CharField(max_length=64, required=False)


class SecretUser(CamelSerializer):
    template_id = serializers.CharField()
    name = serializers.CharField()


class SecretShape(CamelSerializer):
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    version = serializers.IntegerField(help_text="How often a value was given.")
    key_id = serializers.CharField(help_text="Id of the key that it is encrypted with.")
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField(allow_null=True)
    updated_at = serializers.DateTimeField(help_text="When the value was given.")
    updated_by = serializers.CharField(allow_null=True)
    used_by = SecretUser(many=True, help_text="Templates whose current version names it.")


class SecretList(CamelSerializer):
    secrets = SecretShape(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()

"""The shapes of the audit trail."""

from rest_framework import serializers

from workflow_service.api_serializers import CamelSerializer, JsonObjectField, PageQuery
from workflow_service.audit.models import Outcome

WORKSPACE, SERVICE = "workspace", "service"


class AuditQuery(PageQuery):
    scope = serializers.ChoiceField(
        [WORKSPACE, SERVICE],
        default=WORKSPACE,
        help_text="`service`: what belongs to no workspace, such as sign-ins; for superusers.",
    )
    action = serializers.RegexField(
        r"^[a-z_]{1,40}\.[a-z_]{0,40}$",
        required=False,
        help_text="A whole action (`template.publish`), or a noun with its point (`template.`) for all of it.",
        error_messages={"invalid": "Write noun.verb, or a noun and a point."},
    )
    user = serializers.CharField(required=False, max_length=150, help_text="Who did it: name or id.")
    resource_id = serializers.CharField(required=False, max_length=200, help_text="What it was done to.")
    outcome = serializers.ChoiceField(Outcome.choices, required=False)
    since = serializers.DateTimeField(required=False, help_text="Not before this.")
    until = serializers.DateTimeField(required=False, help_text="Before this.")
    search = serializers.CharField(
        required=False,
        max_length=100,
        help_text="Words in names, actions, ids and paths; an address; a request id.",
    )


class AuditEntryShape(CamelSerializer):
    event_id = serializers.CharField()
    timestamp = serializers.DateTimeField(source="at")
    user = serializers.CharField(source="actor", help_text="Its name at that time.")
    user_id = serializers.CharField(allow_null=True, help_text="Null where there is no such user (any more).")
    action = serializers.CharField()
    resource_type = serializers.CharField(source="target_type")
    resource_id = serializers.CharField(source="target_id")
    outcome = serializers.ChoiceField(Outcome.choices)
    details = JsonObjectField(source="detail")
    source = serializers.CharField(  # type: ignore[assignment]
        help_text="`api`, `admin`, `page`, or `service` where no request was."
    )
    ip_address = serializers.CharField(source="address", allow_blank=True)
    user_agent = serializers.CharField(allow_blank=True)
    request_id = serializers.CharField(allow_blank=True)
    api_key = serializers.CharField(allow_blank=True, help_text="Prefix of the key that it came with.")


class AuditEntryList(CamelSerializer):
    entries = AuditEntryShape(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()

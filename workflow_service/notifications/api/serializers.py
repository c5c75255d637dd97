"""The shapes of notifications and webhooks; an endpoint's secret is shown once, when it is made."""

from rest_framework import serializers

from workflow_service.api_serializers import CamelSerializer, JsonField, PageQuery
from workflow_service.notifications.models import Topic, WebhookDelivery


class NotificationQuery(PageQuery):
    unread = serializers.BooleanField(required=False, help_text="true: only those that are not read.")


class NotificationShape(CamelSerializer):
    id = serializers.IntegerField()
    workspace_id = serializers.CharField(source="workspace.public_id")
    topic = serializers.ChoiceField(choices=Topic.values)
    title = serializers.CharField()
    text = serializers.CharField(allow_blank=True)
    path = serializers.CharField(allow_blank=True, help_text="Page of this service where more is to be seen.")
    created_at = serializers.DateTimeField()
    read_at = serializers.DateTimeField(allow_null=True)


class NotificationList(CamelSerializer):
    notifications = NotificationShape(many=True)
    unread = serializers.IntegerField(help_text="How many are not read, on this page or not.")
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class ReadAnswer(CamelSerializer):
    marked = serializers.IntegerField(help_text="How many were not read before.")


class PreferenceShape(CamelSerializer):
    topic = serializers.ChoiceField(choices=Topic.values)
    email = serializers.BooleanField()
    in_app = serializers.BooleanField()


class NotificationPreferences(CamelSerializer):
    preferences = PreferenceShape(many=True, help_text="Topics that are not named stay as they are.")


class WebhookFields(CamelSerializer):
    url = serializers.CharField(max_length=2_000)
    topics = serializers.ListField(child=serializers.ChoiceField(choices=Topic.values), max_length=20)
    description = serializers.CharField(max_length=200, required=False, allow_blank=True)


class NewWebhook(WebhookFields):
    workspace_id = serializers.CharField(max_length=64, required=False)


class WebhookChange(CamelSerializer):
    url = serializers.CharField(max_length=2_000, required=False)
    topics = serializers.ListField(
        child=serializers.ChoiceField(choices=Topic.values), max_length=20, required=False
    )
    description = serializers.CharField(max_length=200, required=False, allow_blank=True)
    enabled = serializers.BooleanField(required=False)


class WebhookShape(CamelSerializer):
    id = serializers.CharField(source="public_id")
    url = serializers.CharField()
    topics = serializers.ListField(child=serializers.ChoiceField(choices=Topic.values))
    description = serializers.CharField(allow_blank=True)
    enabled = serializers.BooleanField()
    disabled_reason = serializers.CharField(
        allow_blank=True, help_text="Why the service switched it off; empty where a person did."
    )
    created_at = serializers.DateTimeField()
    last_success_at = serializers.DateTimeField(allow_null=True)


class WebhookWithSecret(WebhookShape):
    secret = serializers.CharField(help_text="What messages are signed with. It is not shown again.")


class WebhookSecretShape(CamelSerializer):
    secret = serializers.CharField(
        help_text="It is not shown again. The one before it signs on for 24 hours."
    )


class WebhookList(CamelSerializer):
    webhooks = WebhookShape(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class DeliveryQuery(PageQuery):
    status = serializers.ChoiceField(choices=WebhookDelivery.Status.values, required=False)


class DeliveryShape(CamelSerializer):
    id = serializers.CharField(source="public_id")
    webhook_id = serializers.CharField(help_text="The `webhook-id` that the receiver knows it by.")
    topic = serializers.CharField()
    status = serializers.ChoiceField(choices=WebhookDelivery.Status.values)
    attempts = serializers.IntegerField()
    last_status = serializers.IntegerField(allow_null=True, help_text="The HTTP status of the last answer.")
    last_error = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    last_tried_at = serializers.DateTimeField(allow_null=True)


class DeliveryDetails(DeliveryShape):
    body = JsonField(schema={"type": "object"}, help_text="What is sent.")


class DeliveryList(CamelSerializer):
    deliveries = DeliveryShape(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class ReplayBody(CamelSerializer):
    since = serializers.DateTimeField(help_text="What was given up since then is sent again.")


class ReplayAnswer(CamelSerializer):
    replayed = serializers.IntegerField(help_text="How many messages, the oldest first; at most 1,000.")

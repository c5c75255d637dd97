"""Admin pages of notifications: one's own, how one is told, and the workspace's webhooks with what was sent to them.

Looking changes nothing. A secret is shown by the answer to the form that made it, and by no other page.
"""

import json
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from workflow_service.accounts.admin_policies import PolicyAdmin
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action
from workflow_service.admin_pages import sentence
from workflow_service.badges import BAD, IDLE, OK, WAIT, badge
from workflow_service.engine.errors import WorkflowError
from workflow_service.notifications.errors import WebhookInvalid
from workflow_service.notifications.models import Notification, Topic, WebhookDelivery, WebhookEndpoint
from workflow_service.notifications.selectors import list_notifications
from workflow_service.notifications.services.endpoints import (
    change_endpoint,
    check_endpoint,
    create_endpoint,
    delete_endpoint,
    replay_delivery,
    replay_failed,
    rotate_secret,
    send_test,
)
from workflow_service.notifications.services.inbox import mark_read, preferences_of, set_preferences
from workflow_service.plurals import counted
from workflow_service.templatetags.workflow_service import moment

REPLAYED_BACK_TO = timedelta(days=90)
_TONES = {"pending": WAIT, "delivered": OK, "failed": BAD}


class UnreadFilter(admin.SimpleListFilter):
    """What the user has not read."""

    title = "read"
    parameter_name = "read"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "Not read"), ("yes", "Read")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        match self.value():
            case "no":
                return queryset.filter(read_at=None)
            case "yes":
                return queryset.exclude(read_at=None)
        return queryset


@admin.register(Notification)
class NotificationAdmin(PolicyAdmin):
    """What the user was told, and nobody else: superusers see their own too."""

    when_empty = "What happens to runs and questions that concern you is told here, by itself."
    view_action = Action.NOTIFICATION_READ
    change_list_template = "notifications/notification_list.html"
    list_display = ("what", "topic", "workspace", "told")
    list_display_links = None
    list_filter = (UnreadFilter, "topic")
    list_per_page = 50
    search_fields = ("title", "text")
    show_full_result_count = False
    actions = ("mark_as_read",)

    class Media:
        css = {"all": ("workflow_service/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return list_notifications(_user(request))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show the list under its own name."""
        return super().changelist_view(request, {"title": "Notifications", **(extra_context or {})})  # type: ignore[return-value]

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "preferences/",
            self.admin_site.admin_view(self.preferences_view),
            name="notifications_notification_preferences",
        )
        return [own, *super().get_urls()]

    @admin.display(description="What", ordering="title")
    def what(self, notification: Notification) -> SafeString:
        mark = badge("new", tone=WAIT, words="New") if notification.read_at is None else ""
        first = notification.text.partition("\n")[0][:200]
        return format_html(
            '<a href="{}">{}</a> {}<span class="wf-snippet">{}</span>',
            notification.path or "#",
            notification.title,
            mark,
            first,
        )

    @admin.display(description="Told", ordering="id")
    def told(self, notification: Notification) -> str:
        return moment(notification.created_at)

    @admin.action(description="Mark as read", permissions=["view"])
    def mark_as_read(self, request: HttpRequest, queryset: "QuerySet[Notification]") -> None:
        done = mark_read(user=_user(request), ids=list(queryset.values_list("pk", flat=True)))
        messages.success(request, f"{counted(done, 'notification')} marked as read.")

    def preferences_view(self, request: HttpRequest) -> HttpResponse:
        """Show how the user is told, and change it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        user = _user(request)
        here = reverse("admin:notifications_notification_preferences")
        if request.method == "POST":
            chosen = set(request.POST)
            wanted = {topic: (f"email.{topic}" in chosen, f"in_app.{topic}" in chosen) for topic in Topic}
            set_preferences(user=user, wanted=wanted)
            messages.success(request, "Saved: you will be told like that from now on.")
            return HttpResponseRedirect(here)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "How I am told",
            "preferences": preferences_of(user),
            "address": user.email,
            "media": self.media,
        }
        return TemplateResponse(request, "notifications/preferences.html", context)


class EndpointForm(forms.ModelForm):  # type: ignore[type-arg]
    """An address and what it is told."""

    topics = forms.MultipleChoiceField(choices=Topic.choices, widget=forms.CheckboxSelectMultiple)

    class Meta:
        model = WebhookEndpoint
        fields = ("workspace", "url", "topics", "description", "enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("url", "description"):
            if name in self.fields:
                self.fields[name].widget.attrs["class"] = "vLargeTextField"
        if "url" in self.fields:
            self.fields["url"].help_text = "Messages are sent there by POST, as JSON, and signed."

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not self.errors:
            try:
                check_endpoint(url=cleaned["url"], topics=cleaned["topics"])
            except WebhookInvalid as error:
                raise ValidationError({error.problems[0].pointer[1:]: sentence(error.message)}) from None
        return cleaned


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(PolicyAdmin):
    """Who may see and change endpoints is said by ``policies.py``."""

    when_empty = (
        "An endpoint is an address that is told what happens to runs. Add one, and it is listed here."
    )
    view_action = Action.WEBHOOK_READ
    add_action = change_action = delete_action = Action.WEBHOOK_MANAGE
    form = EndpointForm
    list_display = ("url", "workspace", "told", "state", "last_success_at")
    list_select_related = ("workspace",)
    list_filter = ("enabled",)
    search_fields = ("url", "description", "public_id")
    actions = ("send_a_test", "send_again", "make_new_secret")
    facts = ("public_id", "state", "deliveries_link", "created_by", "created_at", "last_success_at")

    class Media:
        css = {"all": ("workflow_service/admin.css",)}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show the list under its own name."""
        return super().changelist_view(request, {"title": "Webhook endpoints", **(extra_context or {})})  # type: ignore[return-value]

    def get_fields(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> tuple[str, ...]:
        typed = ("workspace", "url", "topics", "description")
        return typed if obj is None else (*typed, "enabled", *self.facts)

    def get_readonly_fields(
        self, request: HttpRequest, obj: WebhookEndpoint | None = None
    ) -> tuple[str, ...]:
        return () if obj is None else ("workspace", *self.facts)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the workspaces in which the user may manage webhooks, and no other."""
        if db_field.name == "workspace":
            mine = self.workspaces(request, Action.WEBHOOK_MANAGE)
            kwargs["queryset"] = mine
            if mine.count() == 1:
                kwargs["initial"] = mine.get()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Choose a workspace, and neither add nor change one from here."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "workspace" and field is not None:
            for right in ("can_add_related", "can_change_related", "can_delete_related", "can_view_related"):
                setattr(field.widget, right, False)
        return field

    @admin.display(description="Told about")
    def told(self, endpoint: WebhookEndpoint) -> str:
        return ", ".join(str(Topic(topic).label) for topic in endpoint.topics if topic in Topic.values)

    @admin.display(description="State", ordering="enabled")
    def state(self, endpoint: WebhookEndpoint) -> SafeString:
        if endpoint.enabled:
            return badge("on", tone=OK, words="On")
        shown = badge("off", tone=BAD if endpoint.disabled_reason else IDLE, words="Off")
        return format_html('{}<span class="wf-snippet">{}</span>', shown, endpoint.disabled_reason)

    @admin.display(description="Deliveries")
    def deliveries_link(self, endpoint: WebhookEndpoint) -> SafeString:
        return format_html(
            '<a href="{}?endpoint__id__exact={}">What was sent there</a>',
            reverse("admin:notifications_webhookdelivery_changelist"),
            str(endpoint.pk),
        )

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool) -> None:
        given = form.cleaned_data
        if change:
            standing = WebhookEndpoint.objects.get(pk=obj.pk)
            change_endpoint(
                endpoint=standing,
                actor=_user(request),
                url=given["url"],
                topics=given["topics"],
                description=given["description"],
                enabled=given["enabled"],
            )
            return
        made, secret = create_endpoint(
            workspace=obj.workspace,
            actor=_user(request),
            url=given["url"],
            topics=given["topics"],
            description=given["description"],
        )
        obj.pk, obj.public_id = made.pk, made.public_id
        request._made_secret = secret  # type: ignore[attr-defined]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Register an endpoint; the answer shows its secret. What the service refuses is said, and nothing is kept."""
        try:
            # The answer shows the secret, so there is one way to go on.
            ways = {"show_save_and_add_another": False, "show_save_and_continue": False}
            return super().add_view(request, form_url, {**ways, **(extra_context or {})})
        except WorkflowError as error:
            messages.error(request, sentence(error.message))
            return HttpResponseRedirect(reverse("admin:notifications_webhookendpoint_changelist"))

    def response_add(
        self, request: HttpRequest, obj: WebhookEndpoint, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the new endpoint's secret, once."""
        return self._secret_page(request, obj, request._made_secret)  # type: ignore[attr-defined]

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Name the endpoints alone: what was sent to them goes with them, and nobody deletes that by itself."""
        return [f"{endpoint.url}, with what was sent there" for endpoint in objs], {}, set(), []

    def delete_model(self, request: HttpRequest, obj: WebhookEndpoint) -> None:
        delete_endpoint(endpoint=obj, actor=_user(request))

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[WebhookEndpoint]") -> None:
        for endpoint in queryset:
            self.delete_model(request, endpoint)

    @admin.action(description="Send a test message", permissions=["change"])
    def send_a_test(self, request: HttpRequest, queryset: "QuerySet[WebhookEndpoint]") -> None:
        for endpoint in queryset:
            try:
                send_test(endpoint=endpoint, actor=_user(request))
                messages.success(request, f"A test message is on its way to {endpoint.url}.")
            except WorkflowError as error:
                messages.error(request, f"{endpoint.url}: {sentence(error.message)}")

    @admin.action(description="Send again what was given up", permissions=["change"])
    def send_again(self, request: HttpRequest, queryset: "QuerySet[WebhookEndpoint]") -> None:
        since = timezone.now() - REPLAYED_BACK_TO
        for endpoint in queryset:
            try:
                count = replay_failed(endpoint=endpoint, actor=_user(request), since=since)
                messages.success(request, f"{count} message(s) will be sent again to {endpoint.url}.")
            except WorkflowError as error:
                messages.error(request, f"{endpoint.url}: {sentence(error.message)}")

    @admin.action(description="Make a new secret (of one endpoint)", permissions=["change"])
    def make_new_secret(
        self, request: HttpRequest, queryset: "QuerySet[WebhookEndpoint]"
    ) -> HttpResponse | None:
        chosen = list(queryset[:2])
        if len(chosen) != 1:
            messages.error(
                request, "Choose one endpoint: its secret is shown once, and there is one page for it."
            )
            return None
        try:
            secret = rotate_secret(endpoint=chosen[0], actor=_user(request))
        except WorkflowError as error:
            messages.error(request, sentence(error.message))
            return None
        return self._secret_page(request, chosen[0], secret, rotated=True)

    def _secret_page(
        self, request: HttpRequest, endpoint: WebhookEndpoint, secret: str, *, rotated: bool = False
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "The secret of this endpoint",
            "endpoint": endpoint,
            "secret": secret,
            "rotated": rotated,
            "media": self.media,
        }
        page = TemplateResponse(request, "notifications/secret.html", context)
        page["Cache-Control"] = "no-store"
        return page


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(PolicyAdmin):
    """What was sent to the endpoints of one's workspaces, and what came of it."""

    when_empty = (
        "Each message to a webhook endpoint is listed here with what was answered. None has been sent yet."
    )
    view_action = Action.WEBHOOK_READ
    list_display = ("topic", "endpoint", "state", "attempts", "answer", "created_at", "last_tried_at")
    list_select_related = ("endpoint",)
    list_filter = ("status", "topic")
    list_per_page = 50
    search_fields = ("public_id", "key")
    show_full_result_count = False
    actions = ("send_again",)
    fields = readonly_fields = (
        *("endpoint", "topic", "state", "webhook_id", "attempts", "answer", "created_at", "last_tried_at"),
        "content",
    )

    class Media:
        css = {"all": ("workflow_service/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        found = WebhookDelivery.objects.select_related("endpoint__workspace")
        return found.filter(endpoint__workspace__in=self.workspaces(request, self.view_action))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup == "endpoint__id__exact" or bool(super().lookup_allowed(lookup, value, request))  # type: ignore[arg-type]

    @admin.display(description="State", ordering="status")
    def state(self, delivery: WebhookDelivery) -> SafeString:
        return badge(delivery.status, tone=_TONES[delivery.status], words=delivery.get_status_display())

    @admin.display(description="Last answer", ordering="last_status")
    def answer(self, delivery: WebhookDelivery) -> str:
        return delivery.last_error or (str(delivery.last_status) if delivery.last_status else "—")

    @admin.display(description="Content")
    def content(self, delivery: WebhookDelivery) -> SafeString:
        text = json.dumps(delivery.body, indent=2, ensure_ascii=False)
        return format_html('<pre class="wf-code">{}</pre>', text)

    @admin.action(description="Send again", permissions=["view"])
    def send_again(self, request: HttpRequest, queryset: "QuerySet[WebhookDelivery]") -> None:
        done = 0
        for delivery in queryset[:200]:
            try:
                replay_delivery(
                    endpoint=delivery.endpoint, actor=_user(request), delivery_id=delivery.public_id
                )
                done += 1
            except WorkflowError as error:
                messages.error(request, f"{delivery.public_id}: {sentence(error.message)}")
        messages.success(request, f"{done} message(s) will be sent again, under the ids that they had.")


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the admin lets nobody else in
    return request.user

"""Admin page of secrets: values are typed in, and shown to nobody."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from workflow_service.accounts.admin_policies import PolicyAdmin
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action
from workflow_service.vault.errors import SecretInvalid
from workflow_service.vault.models import Secret
from workflow_service.vault.services.secrets import check_value, create_secret, delete_secret, replace_secret
from workflow_service.vault.usage import users_of


class SecretForm(forms.ModelForm):  # type: ignore[type-arg]
    """A value may be given; what is kept is never filled in."""

    value = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
        strip=False,
        help_text="Kept encrypted. It is not shown again, here or anywhere.",
    )

    class Meta:
        model = Secret
        fields = ("workspace", "name", "description")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "description" in self.fields:
            self.fields["description"].widget.attrs["class"] = "vLargeTextField"
        if self.instance.pk is not None:
            self.fields["value"].required = False
            self.fields["value"].label = "New value"
            self.fields[
                "value"
            ].help_text = "Leave it empty to keep the value that stands. It is shown nowhere."

    def clean_value(self) -> str:
        # A browser sends the lines of a text area with CR LF; a private key has LF alone.
        value = str(self.cleaned_data["value"]).replace("\r\n", "\n")
        if value:
            try:
                check_value(value)
            except SecretInvalid as error:
                raise ValidationError(error.message) from None
        return value


@admin.register(Secret)
class SecretAdmin(PolicyAdmin):
    """Who may see and change secrets is said by ``policies.py``; here too a name stays what it is."""

    when_empty = (
        "A secret is a value, such as a password, that blocks use and nobody reads again. Those that "
        "are stored are listed here by name."
    )
    view_action = Action.SECRET_READ
    add_action = Action.SECRET_CREATE
    change_action = delete_action = Action.SECRET_MANAGE
    form = SecretForm
    list_display = ("name", "workspace", "description", "version", "updated_at", "updated_by", "key_id")
    list_select_related = ("workspace", "updated_by")
    search_fields = ("name", "description")
    facts = ("used_by", "version", "key_id", "created_by", "created_at", "updated_by", "updated_at")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).defer("sealed")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list under its own name."""
        return super().changelist_view(request, {"title": "Secrets", **(extra_context or {})})

    def get_fields(self, request: HttpRequest, obj: Secret | None = None) -> tuple[str, ...]:
        typed = ("workspace", "name", "description")
        if obj is None:
            return (*typed, "value")
        value = ("value",) if self.has_change_permission(request, obj) else ()
        return (*typed, *value, *self.facts)

    def get_readonly_fields(self, request: HttpRequest, obj: Secret | None = None) -> tuple[str, ...]:
        return () if obj is None else ("workspace", "name", *self.facts)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the workspaces in which the user may keep secrets, and no other."""
        if db_field.name == "workspace":
            kwargs["queryset"] = self.workspaces(request, Action.SECRET_CREATE)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description="Used by")
    def used_by(self, secret: Secret) -> str:
        users = users_of(secret.workspace, [secret.name])[secret.name]
        return ", ".join(f"{user.name} ({user.template_id})" for user in users) or "no template names it"

    def save_model(self, request: HttpRequest, obj: Secret, form: Any, change: bool) -> None:
        assert isinstance(request.user, User)  # noqa: S101 - the admin asked for its permission
        value = form.cleaned_data.get("value") or ""
        if change:
            replace_secret(secret=obj, actor=request.user, value=value or None, description=obj.description)
            return
        made = create_secret(
            workspace=obj.workspace,
            actor=request.user,
            name=obj.name,
            value=value,
            description=obj.description,
        )
        obj.pk = made.pk

    def delete_model(self, request: HttpRequest, obj: Secret) -> None:
        assert isinstance(request.user, User)  # noqa: S101 - the admin asked for its permission
        delete_secret(secret=obj, actor=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[Secret]") -> None:
        for secret in queryset:
            self.delete_model(request, secret)

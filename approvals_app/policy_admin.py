"""Admin pages of approval levels and of who is out of office. Both write through the services."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from approvals_app.models import ApprovalLevel, OutOfOffice
from approvals_app.services.levels import delete_level, set_level
from approvals_app.services.out_of_office import check_out_of_office, clear_out_of_office, set_out_of_office
from workflow_service.accounts.admin_policies import PolicyAdmin
from workflow_service.accounts.models import Membership, Role, User, Workspace
from workflow_service.accounts.policies import Action, permits
from workflow_service.admin_pages import sentence
from workflow_service.engine.errors import WorkflowError

ANSWERING_ROLES = [role.value for role in Role if permits((role,), Action.APPROVAL_RESPOND)]

ABSENCE_WORDS = {
    "user": ("Who is away", "You, if left empty."),
    "delegate": (
        "Who answers meanwhile",
        "Answers what is asked of whoever is away, who may still answer too.",
    ),
    "starts_at": ("From", ""),
    "ends_at": ("Until", "Open, if left empty: delete it to be back."),
}


class LevelForm(forms.ModelForm):  # type: ignore[type-arg]
    """A level and its groups; groups must have a member in its workspace."""

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        workspace = given.get("workspace") or (self.instance.workspace if self.instance.pk else None)
        for group in given.get("groups", ()) if workspace is not None else ():
            if not group.user_set.filter(workspaces=workspace).exists():
                self.add_error("groups", f"The group '{group.name}' has no member in this workspace.")
        return given


@admin.register(ApprovalLevel)
class ApprovalLevelAdmin(PolicyAdmin):
    """Which groups a level asks; for who manages the members of a workspace."""

    when_empty = (
        "A level names who answers a kind of question, and workflows refer to it by name. Add one, "
        "and it is listed here."
    )
    view_action = Action.APPROVAL_READ
    add_action = change_action = delete_action = Action.MEMBER_MANAGE
    form = LevelForm
    fields = ("workspace", "name", "groups")
    filter_horizontal = ("groups",)
    list_display = ("name", "asks", "workspace")
    list_select_related = ("workspace",)
    search_fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="Groups")
    def asks(self, level: ApprovalLevel) -> str:
        return ", ".join(sorted(group.name for group in level.groups.all()))

    def get_readonly_fields(self, request: HttpRequest, obj: ApprovalLevel | None = None) -> tuple[str, ...]:
        return () if obj is None else ("workspace", "name")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the workspaces whose members the user manages, and no other."""
        kwargs["queryset"] = self.workspaces(request, Action.MEMBER_MANAGE)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the groups that have a member in one of those workspaces: others are nobody's business here."""
        managed = self.workspaces(request, Action.MEMBER_MANAGE)
        kwargs["queryset"] = Group.objects.filter(user__workspaces__in=managed).distinct().order_by("name")
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return _only(self.workspaces(request, Action.MEMBER_MANAGE))

    def save_model(self, request: HttpRequest, obj: ApprovalLevel, form: Any, change: bool) -> None:
        groups = [group.name for group in form.cleaned_data["groups"]]
        actor = _actor(request)
        obj.pk = set_level(workspace=obj.workspace, actor=actor, name=obj.name, groups=groups).pk

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Do nothing: ``save_model`` has written the groups."""

    def delete_model(self, request: HttpRequest, obj: ApprovalLevel) -> None:
        delete_level(workspace=obj.workspace, actor=_actor(request), name=obj.name)

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[ApprovalLevel]") -> None:
        for level in queryset.select_related("workspace"):
            self.delete_model(request, level)


class AbsenceForm(forms.ModelForm):  # type: ignore[type-arg]
    """An absence; what the service refuses is said at the form."""

    actor: User

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not self.errors:
            try:
                check_out_of_office(actor=self.actor, **self.wanted(given))
            except WorkflowError as error:
                raise forms.ValidationError(sentence(error.message)) from None
        return given

    def wanted(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return what the service takes."""
        names = ("workspace", "user", "starts_at", "ends_at", "reason")
        return {name: given.get(name) for name in names} | {"delegate": given["delegate"].get_username()}


@admin.register(OutOfOffice)
class OutOfOfficeAdmin(PolicyAdmin):
    """Who is away, and who answers meanwhile. One that stands is deleted and made anew, not changed."""

    when_empty = (
        "Who is away, and who answers for them meanwhile, is listed here. Add a time of absence of your own."
    )
    view_action = Action.APPROVAL_READ
    add_action = Action.APPROVAL_RESPOND
    form = AbsenceForm
    fields = ("workspace", "user", "delegate", "starts_at", "ends_at", "reason")
    list_display = ("user", "delegate", "starts_at", "ends_at", "reason", "workspace")
    list_select_related = ("user", "delegate", "workspace")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """Narrow to one's own and those that name one; to all where one manages members."""
        managed = self.workspaces(request, Action.MEMBER_MANAGE)
        mine = Q(user=request.user.pk) | Q(delegate=request.user.pk) | Q(workspace__in=managed)
        return super().get_queryset(request).filter(mine)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """One deletes one's own; who manages members, anybody's."""
        if obj is None or obj.user_id == request.user.pk:
            return self._may(request, Action.APPROVAL_RESPOND, obj)
        return self._may(request, Action.MEMBER_MANAGE, obj)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.actor = _actor(request)
        for name, (label, words) in ABSENCE_WORDS.items():
            if name in form.base_fields:
                form.base_fields[name].label, form.base_fields[name].help_text = label, words
        if "user" in form.base_fields:
            form.base_fields["user"].required = False
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return _only(self.workspaces(request, Action.APPROVAL_RESPOND)) | {"starts_at": timezone.now()}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"title": "Out of office", **(extra_context or {})})

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the workspaces where one answers approvals, and who else does there."""
        workspaces = self.workspaces(request, Action.APPROVAL_RESPOND)
        if db_field.name == "workspace":
            kwargs["queryset"] = workspaces
        else:
            asked = Membership.objects.filter(workspace__in=workspaces, role__in=ANSWERING_ROLES)
            people = User.objects.filter(pk__in=asked.values("user"), is_active=True).order_by("username")
            managed = self.workspaces(request, Action.MEMBER_MANAGE)
            own = Q(pk=request.user.pk) | Q(workspaces__in=managed)
            kwargs["queryset"] = people.filter(own).distinct() if db_field.name == "user" else people
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: OutOfOffice, form: Any, change: bool) -> None:
        made = set_out_of_office(actor=_actor(request), **form.wanted(form.cleaned_data))
        obj.pk, obj.user = made.pk, made.user

    def delete_model(self, request: HttpRequest, obj: OutOfOffice) -> None:
        clear_out_of_office(workspace=obj.workspace, actor=_actor(request), absence_id=obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[OutOfOffice]") -> None:
        for absence in queryset.select_related("workspace"):
            try:
                self.delete_model(request, absence)
            except WorkflowError as error:
                messages.error(request, sentence(error.message))


def _only(workspaces: "QuerySet[Workspace]") -> dict[str, Any]:
    """Return a form's workspace where there is no choice."""
    found = list(workspaces[:2])
    return {"workspace": found[0].pk} if len(found) == 1 else {}


def _actor(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the admin lets nobody else in
    return request.user

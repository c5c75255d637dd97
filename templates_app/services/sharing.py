"""Writes: with whom a template is shared, and whose it is.

A share is with a member of the template's workspace, or with a group that has one; it counts only as long as its
holder is a member. What somebody may do is set as a whole, so that asking twice is harmless.
"""

from collections.abc import Collection, Sequence

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Q

from templates_app.errors import GranteeNotFound, OwnerUnfit
from templates_app.models import Template, TemplateShare
from templates_app.services.locks import lock_template
from templates_app.services.recording import record_template
from templates_app.sharing import require_on
from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action, ShareRight, permits
from workflow_service.accounts.selectors import roles_of

USER, GROUP = "user", "group"


def share_template(
    *,
    template: Template,
    actor: User,
    grantee: str,
    rights: Collection[ShareRight],
    if_match: Sequence[str] = (),
) -> frozenset[ShareRight]:
    """Give ``grantee`` (``user:NAME`` or ``group:NAME``) these rights on the template and no others; return them.

    No rights: it is not shared with them any more, be they still members or not. Raises ``Forbidden``,
    ``GranteeNotFound``, ``StaleTemplate``.
    """
    require_on(template, actor, Action.TEMPLATE_SHARE)
    holder = _find_grantee(template.workspace, grantee) if rights else None
    wanted = frozenset(rights)
    with transaction.atomic():
        locked = lock_template(template, if_match, archived_too=True)
        standing = TemplateShare.objects.filter(_is_for(grantee), template=template)
        standing.exclude(right__in=[right.value for right in wanted]).delete()
        kept = set(standing.values_list("right", flat=True))
        TemplateShare.objects.bulk_create(
            TemplateShare(
                template=template,
                user=holder if isinstance(holder, User) else None,
                group=holder if isinstance(holder, Group) else None,
                right=right.value,
                created_by=actor,
            )
            for right in sorted(wanted - kept)
        )
        record_template(
            actor, "template.share", locked, grantee=grantee, rights=sorted(right.value for right in wanted)
        )
    return wanted


def transfer_template(
    *, template: Template, actor: User, owner: str, if_match: Sequence[str] = ()
) -> Template:
    """Give the template to another member, by name or id, whose roles let them have templates.

    Raises ``Forbidden``, ``GranteeNotFound``, ``OwnerUnfit``, ``TemplateArchived``, ``StaleTemplate``.
    """
    require_on(template, actor, Action.TEMPLATE_TRANSFER)
    new = _find_member(template.workspace, owner)
    if not permits(roles_of(new, template.workspace), Action.TEMPLATE_CREATE):
        raise OwnerUnfit(f"'{new.get_username()}' has no role here that may have templates")
    with transaction.atomic():
        locked = lock_template(template, if_match)
        if locked.owner_id != new.pk:
            locked.created_by = locked.created_by or locked.owner
            before, locked.owner = locked.owner, new
            locked.save(update_fields=["owner", "created_by", "updated_at"])
            names = {"before": before.get_username(), "owner": new.get_username()}
            record_template(actor, "template.transfer", locked, **names)
    return locked


def _find_grantee(workspace: Workspace, grantee: str) -> User | Group:
    kind, name = _split(grantee)
    if kind == USER:
        return _find_member(workspace, name)
    group = Group.objects.filter(name=name, user__workspaces=workspace).first()
    if group is None:
        raise GranteeNotFound(f"there is no group '{name[:64]}' with a member in this workspace")
    return group


def _find_member(workspace: Workspace, name: str) -> User:
    members = User.objects.filter(is_active=True, workspaces=workspace)
    member = members.filter(Q(username=name) | Q(public_id=name)).first()
    if member is None:
        raise GranteeNotFound(f"there is no member '{name[:64]}' of this workspace")
    return member


def _is_for(grantee: str) -> Q:
    kind, name = _split(grantee)
    return Q(user__username=name) | Q(user__public_id=name) if kind == USER else Q(group__name=name)


def _split(grantee: str) -> tuple[str, str]:
    kind, colon, name = grantee.partition(":")
    if not colon or kind not in (USER, GROUP) or "\x00" in name:
        raise GranteeNotFound(f"'{grantee[:64]}' is neither user:NAME nor group:NAME")
    return kind, name

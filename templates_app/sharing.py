"""Whether a user may do something to one template: roles, ownership, and what it is shared for."""

from django.db.models import Q

from templates_app.models import Template, TemplateShare
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action, ShareRight, allows, require


def rights_on(template: Template, user: User) -> frozenset[ShareRight]:
    """Return the rights that the user was given on the template, by name or through a group."""
    given = TemplateShare.objects.filter(template=template).filter(shared_with(user))
    return frozenset(ShareRight(name) for name in given.values_list("right", flat=True))


def shared_with(user: User) -> Q:
    """Return the condition that a share is for the user."""
    return Q(user=user) | Q(group__in=user.groups.all())


def may(user: User, template: Template, action: Action) -> bool:
    """Say whether ``user`` may do ``action`` to the template."""
    # Roles answer most questions: what is shared is looked up only where they say no.
    return allows(user, template.workspace, action, owner_id=template.owner_id) or allows(
        user, template.workspace, action, shared=rights_on(template, user)
    )


def require_on(template: Template, user: User, action: Action) -> None:
    """Raise ``Forbidden`` unless ``may`` says yes."""
    if not may(user, template, action):
        require(user, template.workspace, action)

"""What an approval level means in a workspace: the names of those whom it asks."""

from django.contrib.auth.models import Group

from approvals_app.models import ApprovalLevel

MAX_ASSIGNEE = 150


def names_of_level(workspace_id: int, level: str) -> list[str]:
    """Return the assignees that a level stands for; none where the workspace has not said."""
    groups = Group.objects.filter(
        pk__in=ApprovalLevel.objects.filter(workspace=workspace_id, name=level).values("groups")
    )
    return [assignee_of_group(name) for name in groups.order_by("name").values_list("name", flat=True)]


def assignee_of_group(name: str) -> str:
    """Return how a group is named as an assignee; a name too long to bear its kind stands alone."""
    full = f"group:{name}"
    return full if len(full) <= MAX_ASSIGNEE else name


def fitting_names(names: tuple[str, ...]) -> list[str]:
    """Return ``names`` as an approval keeps them. What is too long names nobody, but must not widen who is asked."""
    return [name if len(name) <= MAX_ASSIGNEE else f"{name[: MAX_ASSIGNEE - 1]}…" for name in names]

"""The lock every write to a template is made under, and what may stand against the write."""

from collections.abc import Sequence

from templates_app.errors import StaleTemplate, TemplateArchived, TemplateNotPublishable
from templates_app.models import Template
from templates_app.selectors import etag_of
from workflow_service.engine.findings import Finding, errors_in
from workflow_service.engine.states import TemplateStatus


def lock_template(
    template: Template, if_match: Sequence[str] = (), *, archived_too: bool = False
) -> Template:
    """Return the template as it is now, its row locked until the transaction ends.

    ``if_match``: entity tags, one of which it must have. Raises ``StaleTemplate``, and ``TemplateArchived`` unless
    ``archived_too``.
    """
    # Read after the lock, by a statement of its own: one that waits for a lock sees the row as it is then, and what
    # it joins as it was before, so that a version which was made meanwhile would be missing.
    Template.objects.select_for_update(no_key=True).values_list("pk").get(pk=template.pk)
    rows = Template.objects.select_related("current_version", "owner", "created_by", "workspace")
    locked = rows.get(pk=template.pk)
    if if_match and "*" not in if_match and etag_of(locked) not in if_match:
        raise StaleTemplate(
            f"the template was changed meanwhile: its ETag is {etag_of(locked)} now; read it again"
        )
    if locked.status == TemplateStatus.ARCHIVED and not archived_too:
        raise TemplateArchived(f"the template '{locked.public_id}' is archived: restore it to change it")
    return locked


def require_no_errors(findings: Sequence[Finding]) -> None:
    """Raise ``TemplateNotPublishable`` with the findings that forbid running."""
    errors = errors_in(findings)
    if errors:
        raise TemplateNotPublishable(
            f"the definition has {len(errors)} error(s): {errors[0].message}", errors
        )

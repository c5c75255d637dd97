"""A template's way through its statuses: publish, deprecate, archive, restore.

One table says what may follow what (``engine/states.py``), and ``set_status`` alone writes it. Each command is
idempotent: a template that has the status already is left as it is.
"""

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from templates_app.errors import StaleTemplate
from templates_app.models import Template
from templates_app.selectors import current_version
from templates_app.services.locks import lock_template, require_no_errors
from templates_app.services.recording import record_template
from templates_app.services.validation import validate_definition
from templates_app.sharing import require_on
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action
from workflow_service.engine.documents import load_definition
from workflow_service.engine.states import TEMPLATE_TRANSITIONS, TemplateStatus, require_transition


def publish_template(*, template: Template, actor: User, if_match: Sequence[str] = ()) -> Template:
    """Make a draft, or one that was deprecated, active.

    Raises ``Forbidden``, ``TemplateNotPublishable`` with every error the definition has, ``TemplateArchived``,
    ``StaleTemplate``.
    """
    require_on(template, actor, Action.TEMPLATE_UPDATE)
    # Looked at before the lock: what a definition names may have to be asked for over the network.
    version = current_version(template)
    findings = validate_definition(load_definition(version.definition), template.workspace, template)
    with transaction.atomic():
        locked = lock_template(template, if_match)
        require_no_errors(findings)
        if locked.current_version_id != version.pk:
            raise StaleTemplate("the template was given another version meanwhile: read it again")
        if locked.status != TemplateStatus.ACTIVE:
            set_status(locked, TemplateStatus.ACTIVE)
            locked.save(update_fields=STATUS_FIELDS)
            record_template(actor, "template.publish", locked)
    return locked


def deprecate_template(
    *, template: Template, actor: User, note: str = "", if_match: Sequence[str] = ()
) -> Template:
    """Warn whoever starts the template from now on; ``note`` says what to use instead.

    Raises ``Forbidden``, ``IllegalTransition``, ``TemplateArchived``, ``StaleTemplate``.
    """
    require_on(template, actor, Action.TEMPLATE_UPDATE)
    with transaction.atomic():
        locked = lock_template(template, if_match)
        if (locked.status, locked.deprecation_note) != (TemplateStatus.DEPRECATED, note):
            set_status(locked, TemplateStatus.DEPRECATED, note=note)
            locked.save(update_fields=STATUS_FIELDS)
            record_template(actor, "template.deprecate", locked, note=note)
    return locked


def archive_template(*, template: Template, actor: User, if_match: Sequence[str] = ()) -> Template:
    """Take the template out of use; its runs go on and stay readable.

    Raises ``Forbidden`` and ``StaleTemplate``.
    """
    require_on(template, actor, Action.TEMPLATE_ARCHIVE)
    return _change(template, actor, "template.archive", TemplateStatus.ARCHIVED, if_match)


def restore_template(*, template: Template, actor: User, if_match: Sequence[str] = ()) -> Template:
    """Bring an archived template back, as a draft.

    Raises ``Forbidden``, ``IllegalTransition`` for one that is in use, ``StaleTemplate``.
    """
    require_on(template, actor, Action.TEMPLATE_ARCHIVE)
    return _change(template, actor, "template.restore", TemplateStatus.DRAFT, if_match)


STATUS_FIELDS = ("status", "archived_at", "deprecation_note", "updated_at")


def set_status(locked: Template, new: TemplateStatus, *, note: str = "") -> None:
    """Set the status of a locked template; the caller saves it. Raises ``IllegalTransition``."""
    old = TemplateStatus(locked.status)
    if old is not new:
        require_transition(TEMPLATE_TRANSITIONS, old, new)
        locked.archived_at = timezone.now() if new is TemplateStatus.ARCHIVED else None
    locked.status = new
    # One that is archived keeps the note of why it was given up.
    if new is not TemplateStatus.ARCHIVED:
        locked.deprecation_note = note


def _change(
    template: Template, actor: User, action: str, new: TemplateStatus, if_match: Sequence[str]
) -> Template:
    with transaction.atomic():
        locked = lock_template(template, if_match, archived_too=True)
        if locked.status != new:
            set_status(locked, new)
            locked.save(update_fields=STATUS_FIELDS)
            record_template(actor, action, locked)
    return locked

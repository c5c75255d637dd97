"""Commands on templates as the admin gives them: which are offered when, to whom, and what they ask first.

They are those of the API, through the same services and the same table of permissions. A form bears the ETag of the
template as its page showed it, so that nothing is done to what the sender has not seen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.http import QueryDict

from templates_app.models import Template
from templates_app.selectors import get_version
from templates_app.services.sharing import share_template, transfer_template
from templates_app.services.statuses import (
    archive_template,
    deprecate_template,
    publish_template,
    restore_template,
)
from templates_app.services.templates import clone_template, roll_back
from templates_app.sharing import may
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action, ShareRight
from workflow_service.engine.errors import WorkflowError
from workflow_service.engine.states import TemplateStatus

T = TemplateStatus
IN_USE = frozenset({T.DRAFT, T.ACTIVE, T.DEPRECATED})
EVERY = frozenset(T)


class UnknownCommand(WorkflowError):
    """A form was sent that is none of the commands on a template."""

    code = "UNKNOWN_COMMAND"


@dataclass(frozen=True, slots=True)
class Field:
    """What a command asks for; ``max_length`` in characters."""

    name: str
    label: str
    help: str
    max_length: int


@dataclass(frozen=True, slots=True)
class Command:
    """One command. ``give`` carries it out and returns the template to look at next.

    ``question`` and ``explained`` are what is asked before; a command without a question is given at once.
    ``beside`` it stands where what it is about is shown, not at the top of the page.
    """

    label: str
    action: Action
    statuses: frozenset[TemplateStatus]
    give: Callable[[Template, User, QueryDict], Template]
    done: str
    question: str = ""
    explained: str = ""
    field: Field | None = None
    is_grave: bool = False
    is_beside: bool = False


def _publish(template: Template, actor: User, form: QueryDict) -> Template:
    return publish_template(template=template, actor=actor, if_match=_seen(form))


def _deprecate(template: Template, actor: User, form: QueryDict) -> Template:
    note = _text(form, "note", 500)
    return deprecate_template(template=template, actor=actor, note=note, if_match=_seen(form))


def _archive(template: Template, actor: User, form: QueryDict) -> Template:
    return archive_template(template=template, actor=actor, if_match=_seen(form))


def _restore(template: Template, actor: User, form: QueryDict) -> Template:
    return restore_template(template=template, actor=actor, if_match=_seen(form))


def _clone(template: Template, actor: User, form: QueryDict) -> Template:
    version = get_version(template, form.get("version") or None)
    return clone_template(template=template, actor=actor, name=_text(form, "name", 255), version=version)


def _roll_back(template: Template, actor: User, form: QueryDict) -> Template:
    return roll_back(
        template=template,
        actor=actor,
        version=get_version(template, form.get("version") or None),
        change_note=_text(form, "note", 500),
        if_match=_seen(form),
    )


def _share(template: Template, actor: User, form: QueryDict) -> Template:
    named = [right for right in ShareRight if right.value in form.getlist("right")]
    share_template(template=template, actor=actor, grantee=_text(form, "grantee", 200), rights=named)
    return template


def _transfer(template: Template, actor: User, form: QueryDict) -> Template:
    owner = _text(form, "owner", 150)
    return transfer_template(template=template, actor=actor, owner=owner, if_match=_seen(form))


COMMANDS: Mapping[str, Command] = {
    "publish": Command(
        "Publish",
        Action.TEMPLATE_UPDATE,
        frozenset({T.DRAFT, T.DEPRECATED}),
        _publish,
        "Published: it may be started.",
    ),
    "clone": Command(
        "Clone",
        Action.TEMPLATE_CREATE,
        EVERY,
        _clone,
        "Cloned: this is the copy, and it is yours.",
        question="Clone this template?",
        explained="You get a template of your own that says the same. What becomes of either leaves the other alone.",
        field=Field("name", "Name of the copy", "Left empty: Copy of …", 255),
    ),
    "deprecate": Command(
        "Deprecate",
        Action.TEMPLATE_UPDATE,
        frozenset({T.ACTIVE}),
        _deprecate,
        "Deprecated: who starts it is warned.",
        question="Deprecate this template?",
        explained="It can be started still, and whoever does so is warned.",
        field=Field("note", "What to use instead", "Shown with the warning.", 500),
    ),
    "archive": Command(
        "Archive",
        Action.TEMPLATE_ARCHIVE,
        IN_USE,
        _archive,
        "Archived: nobody starts it any more, and its runs are kept.",
        question="Archive this template?",
        explained="It leaves the lists and cannot be started. Runs under way go on, and all runs stay readable. It can "
        "be restored.",
        is_grave=True,
    ),
    "restore": Command(
        "Restore",
        Action.TEMPLATE_ARCHIVE,
        frozenset({T.ARCHIVED}),
        _restore,
        "Restored as a draft: publish it to let it run.",
    ),
    "rollback": Command(
        "Roll back",
        Action.TEMPLATE_UPDATE,
        IN_USE,
        _roll_back,
        "Rolled back: the current version says what that one said.",
        question="Roll back to this version?",
        explained="The template gets a new version that says what this one said. Runs under way keep theirs.",
        field=Field("note", "Why", "Kept as the note of the new version. Left empty: Rolled back to …", 500),
        is_beside=True,
    ),
    "share": Command(
        "Share", Action.TEMPLATE_SHARE, EVERY, _share, "Kept: that is what they may do now.", is_beside=True
    ),
    "transfer": Command(
        "Give away", Action.TEMPLATE_TRANSFER, IN_USE, _transfer, "It has another owner now.", is_beside=True
    ),
}


def command_named(name: str) -> Command:
    """Return the command of that name; raises ``UnknownCommand``."""
    if name not in COMMANDS:
        raise UnknownCommand(f"the command must be one of {', '.join(COMMANDS)}")
    return COMMANDS[name]


def offered_commands(user: User, template: Template) -> dict[str, Command]:
    """Return the commands that would change something and that the user may give."""
    fitting = {name: one for name, one in COMMANDS.items() if template.status in one.statuses}
    allowed = {action: may(user, template, action) for action in {one.action for one in fitting.values()}}
    return {name: one for name, one in fitting.items() if allowed[one.action]}


def _seen(form: QueryDict) -> list[str]:
    return [_text(form, "etag", 100)] if "etag" in form else []


def _text(form: QueryDict, name: str, max_length: int) -> str:
    return form.get(name, "").replace("\x00", "").strip()[:max_length]

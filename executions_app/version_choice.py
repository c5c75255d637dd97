"""Which version runs where a start names none: the template's current one, unless an app above this one says another.

The choice is made before the transaction that inserts the run, and written down in it: a run that exists has its
choice on record, and a choice without a run was never made. What a run got it keeps, through restarts too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from executions_app.models import Execution
from executions_app.transaction import EngineTransaction
from templates_app.models import Template, TemplateVersion
from workflow_service.accounts.models import User
from workflow_service.engine.definition import JsonObject


@dataclass(frozen=True, slots=True)
class StartFacts:
    """What is known of a run that is about to start. ``parent_id`` is the public id of the run it works for, if any."""

    template: Template
    starter: User
    input: JsonObject
    parent_id: str | None = None


@dataclass(frozen=True, slots=True)
class VersionChoice:
    """The version to run. ``record`` writes down why, in the transaction that has just inserted the run.

    ``event_data`` is added to the run's first event.
    """

    version: TemplateVersion
    record: Callable[[EngineTransaction, Execution], object]
    event_data: Mapping[str, JsonValue] = field(default_factory=dict)


# None: the current version runs.
VersionChooser = Callable[[StartFacts], VersionChoice | None]

_choosers: list[VersionChooser] = []


def register_version_chooser(chooser: VersionChooser) -> None:
    """Register who chooses versions; called once, when the app that does is loaded."""
    _choosers[:] = [chooser]


def choose_version(facts: StartFacts) -> VersionChoice | None:
    """Return the version chosen for a start that names none; None: the current one."""
    return _choosers[0](facts) if _choosers else None

"""What people did about the blocks of a run, as the app that owns approvals tells it.

``approvals_app`` stands above this app and registers its source here when it is loaded; without one nobody
did anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from workflow_service.engine.definition import JsonObject


@dataclass(frozen=True, slots=True)
class HumanInteraction:
    """One question put to people, and its answer (document A section 4.2). ``approver`` is a user name."""

    type: str
    requested_at: datetime
    responded_at: datetime | None
    response: JsonObject | None
    approver: str | None


# Given the key of an execution row: the interactions by key of the block execution row, oldest first, in one query.
InteractionSource = Callable[[int], Mapping[int, Sequence[HumanInteraction]]]

_sources: list[InteractionSource] = []


def register_interaction_source(source: InteractionSource) -> None:
    """Register the source; called once, when the app that owns approvals is loaded."""
    _sources[:] = [source]


def interactions_of(execution_id: int) -> Mapping[int, Sequence[HumanInteraction]]:
    """Return what people did about each block execution of a run."""
    return _sources[0](execution_id) if _sources else {}

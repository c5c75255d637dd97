"""What apps above this one know about a run and have it show: decisions, its risk of failing, parts of its page.

They register themselves from ``AppConfig.ready()``. What they say is beside the run: where one cannot answer, the run
is shown without it.
"""

import logging
from collections.abc import Callable
from typing import Any

from django.utils.safestring import SafeString

from executions_app.models import Execution

logger = logging.getLogger(__name__)

# The probability, 0 to 1, that a run that goes on will fail; None where that is not known.
RiskOfFailure = Callable[[Execution], float | None]
# A part of a run's page, as it is now; None where there is nothing to show.
PagePart = Callable[[Execution], SafeString | None]
# How a run's questions were answered, in that order, under document B's names (section 7.1).
DecisionEntries = Callable[[Execution], list[dict[str, Any]]]

_risks: list[RiskOfFailure] = []
_page_parts: list[PagePart] = []
_decisions: list[DecisionEntries] = []


def register_failure_risk(risk: RiskOfFailure) -> None:
    """Register who tells how probable the failure of a run is; called once, when the app is loaded."""
    _risks[:] = [risk]


def register_page_part(part: PagePart) -> None:
    """Add a part to the page of each run; called once, when the app is loaded."""
    if part not in _page_parts:
        _page_parts.append(part)


def failure_risk(execution: Execution) -> float | None:
    """Return how probable it is that a run will fail, 0 to 1; None for one that has ended, or where it is not known."""
    if execution.completed_at is not None:
        return None
    for risk in _risks:
        try:
            return risk(execution)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            logger.exception("the risk of execution %s could not be told", execution.public_id)
    return None


def page_parts(execution: Execution) -> list[SafeString]:
    """Return what others add to the page of a run."""
    return [shown for part in _page_parts if (shown := part(execution)) is not None]


def register_decision_entries(entries: DecisionEntries) -> None:
    """Register who tells how a run's questions were answered; called once, when the app is loaded."""
    _decisions[:] = [entries]


def decision_entries(execution: Execution) -> list[dict[str, Any]]:
    """Return how a run's questions were answered, those included that a restart took back."""
    return [entry for entries in _decisions for entry in entries(execution)]

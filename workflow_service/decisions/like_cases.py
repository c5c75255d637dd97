"""What was decided in like cases: the same was asked, of the same values, in the same workspace.

What a person said last about such a case outweighs every other answer. Of the rest so many of the last must agree, and
only those count that somebody thought about: a model or a person, not a default and not history itself.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from executions_app.models import BlockExecution
from workflow_service.decisions.cases import Case
from workflow_service.decisions.models import Decision
from workflow_service.engine.definition import DecisionHistory

THOUGHT = (Decision.Source.MODEL, Decision.Source.CACHE, Decision.Source.PERSON)
MOST_LOOKED_AT = 1_000


@dataclass(frozen=True, slots=True)
class Precedent:
    """What like cases say: ``keys``, as ``agreeing`` of the last ``seen`` decided; or a person (``by``) did."""

    keys: tuple[str, ...]
    agreeing: int
    seen: int
    by: str = ""

    @property
    def words(self) -> str:
        if self.by:
            return f"{self.by} decided so in a like case"
        return f"{self.agreeing} of the last {self.seen} like cases were decided so"


@dataclass(frozen=True, slots=True)
class Earlier:
    """One earlier decision of a like case: what is right of it, and the person who says so, if one does."""

    keys: tuple[str, ...]
    person: str


def earlier_of(case: Case, limit: int) -> list[Earlier]:
    """Return the last decisions of like cases that somebody thought about, the newest first."""
    found = _like(case)
    thought = found.filter(source__in=THOUGHT) | found.filter(override__isnull=False)
    rows = thought.select_related("overridden_by").order_by("-id")[: min(limit, MOST_LOOKED_AT)]
    return [Earlier(tuple(sorted(row.right)), _person(row)) for row in rows]


def _person(row: Decision) -> str:
    if row.override is not None:
        return row.overridden_by.get_username() if row.overridden_by else "a person"
    return row.decided_by if row.source == Decision.Source.PERSON else ""


def person_says(case: Case) -> Precedent | None:
    """Return what a person decided last about a like case, None where none has, or it is not open here.

    What a person said of this very decision holds whatever the policy thinks of history.
    """
    turned = _turned(case)
    if turned is not None and _is_open(case, turned.right):
        return Precedent(tuple(turned.right), 1, 1, _person(turned))
    if case.policy.history is None:
        return None
    found = _like(case)
    said = found.filter(source=Decision.Source.PERSON) | found.filter(override__isnull=False)
    # An override of an old decision is newer than a decision made since.
    newest = max(
        said.select_related("overridden_by").order_by("-id")[:MOST_LOOKED_AT], key=_said_at, default=None
    )
    if newest is None or not _is_open(case, newest.right):
        return None
    return Precedent(tuple(newest.right), 1, 1, _person(newest))


def _turned(case: Case) -> Decision | None:
    """Return the decision that a person had this run take back, and answer again, in this place."""
    claim = case.claim
    found = Decision.objects.filter(
        execution=claim.execution_id, block_id=case.owner.id, rerouted=True, override__isnull=False
    )
    rows = BlockExecution.objects.filter(
        execution=claim.execution_id,
        scope_id=claim.place.scope,
        item_index=claim.place.index,
        node=claim.node,
    )
    here = found.filter(block_execution_id__in=rows.values("pk"))
    return here.select_related("overridden_by").order_by("-overridden_at").first()


def _said_at(row: Decision) -> datetime:
    return row.overridden_at or row.created_at


def history_says(case: Case) -> Precedent | None:
    """Return what enough of the last like cases agree on, None where they do not."""
    policy = case.policy.history
    if policy is None:
        return None
    found = agreed(earlier_of(case, policy.last), policy)
    return found if found is not None and _is_open(case, found.keys) else None


def agreed(earlier: Sequence[Earlier], policy: DecisionHistory) -> Precedent | None:
    """Return what enough of ``earlier`` (newest first, as many as the policy looks at) agree on."""
    if not earlier:
        return None
    keys, number = Counter(one.keys for one in earlier).most_common(1)[0]
    return Precedent(keys, number, len(earlier)) if number >= policy.agreeing else None


def _like(case: Case) -> QuerySet[Decision]:
    return Decision.objects.filter(workspace=case.claim.workspace_id, case_sha256=case.sha256)


def _is_open(case: Case, keys: Sequence[str]) -> bool:
    try:
        case.choice.taken(keys)
    except ValueError:
        return False
    return True

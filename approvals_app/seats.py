"""Whose seat a vote takes, and how many seats there are: ``voting`` with what the database knows."""

from collections import defaultdict
from collections.abc import Sequence

from approvals_app.assignment import Person, Responder, people_of
from approvals_app.models import Approval, ApprovalVote
from approvals_app.voting import free_seat


def count_seats(approval: Approval, cast: Sequence[ApprovalVote]) -> int:
    """Return how many people an approval asks by themselves, by name or as everybody, now or when they voted."""
    people = people_of([approval.workspace_id]).get(approval.workspace_id, {})
    asked = {
        pk for pk, person in people.items() if person.is_asked(approval) and not person.is_bound(approval)
    }
    # Who has left takes their seat with them, not that of somebody who has still to vote.
    taken = {vote.on_behalf_of_id or vote.user_id for vote in cast}
    return len(asked | {pk for pk in taken if pk not in people or not people[pk].is_manager})


def seat_of(approval: Approval, responder: Responder, cast: Sequence[ApprovalVote]) -> int | None:
    """Return the id of the user whose seat the responder's vote takes: their own where they are asked themselves.

    None where it, or each that was handed to them, is taken by the votes that are ``cast``.
    """
    me = responder.person
    taken = {vote.on_behalf_of_id or vote.user_id for vote in cast}
    if _has_own(me, approval):
        return None if me.user_id in taken else me.user_id
    handed_by: dict[int, set[int]] = defaultdict(set)
    for from_id, to_id in approval.delegations.values_list("from_user_id", "to_user_id"):
        handed_by[to_id].add(from_id)
    for away in responder.absent:
        if approval.allow_delegation and away.is_for(approval) and not away.is_bound(approval):
            handed_by[me.user_id].add(away.user_id)
    origins = set().union(*handed_by.values())
    people = people_of([approval.workspace_id], origins).get(approval.workspace_id, {})
    asked = {pk for pk, person in people.items() if _has_own(person, approval)}
    return free_seat(me.user_id, asked=asked, handed_by=handed_by, taken=taken)


def _has_own(person: Person, approval: Approval) -> bool:
    return person.is_manager or person.is_asked(approval)

"""What the votes on an approval come to: nothing yet, a yes or a no.

M people must approve the same answer. It is a no as soon as no answer can get M any more. Everybody asked has one seat,
and every vote takes one: that of the voter, of the one they vote for, or, of somebody who stands in for the others
because they manage members, any. Pure: no database.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class Ballot:
    """One vote; ``response`` is what an approval approves."""

    approved: bool
    response: JsonValue = None


def outcome(ballots: Sequence[Ballot], *, quorum: int, asked: int) -> bool | None:
    """Return whether the votes approve or reject, None where they do neither yet; ``asked``: how many seats there are.

    Where fewer are asked than must approve, others are taken to stand in for the rest.
    """
    equal = Counter(_text_of(ballot.response) for ballot in ballots if ballot.approved)
    most = max(equal.values(), default=0)
    if most >= quorum:
        return True
    free = max(asked, quorum) - len(ballots)
    return False if most + max(0, free) < quorum else None


def free_seat(
    user_id: int, *, asked: Collection[int], handed_by: Mapping[int, Collection[int]], taken: Collection[int]
) -> int | None:
    """Return whose seat a vote of this user takes: their own, or one that was handed to them; None where all are taken.

    ``handed_by`` says for each user who handed the question to them; ``asked`` are those who have a seat of their own,
    as has whoever handed on what nobody had handed to them.
    """
    seen: set[int] = set()
    ahead = [user_id]
    while ahead:
        one = ahead.pop(0)
        if one in seen:
            continue
        seen.add(one)
        origins = sorted(handed_by.get(one, ()))
        if one in asked or not origins:
            if one not in taken:
                return one
            if one == user_id:
                return None
        else:
            ahead.extend(origins)
    return None


def _text_of(response: JsonValue) -> str:
    return json.dumps(response or None, sort_keys=True)

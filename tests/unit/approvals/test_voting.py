"""What votes come to, and whose seat they take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals_app.voting import Ballot, free_seat, outcome

YES, NO = Ballot(True), Ballot(False)
FIVE, SIX = Ballot(True, {"limit": 5}), Ballot(True, {"limit": 6})


@pytest.mark.parametrize(
    ("ballots", "quorum", "asked", "decided"),
    [
        ([YES], 1, 1, True),
        ([NO], 1, 1, False),
        ([YES], 2, 3, None),
        ([YES, YES], 2, 3, True),
        ([YES, NO], 2, 3, None),
        ([NO], 2, 3, None),
        ([NO, NO], 2, 3, False),
        ([NO], 3, 3, False),
        ([YES, NO, YES], 2, 3, True),
        # Who is asked is fewer than must approve: others stand in for the rest, and a yes is never a no.
        ([YES], 3, 1, None),
        ([YES, YES], 3, 0, None),
        ([NO], 3, 1, False),
        # M people must approve the same answer.
        ([FIVE, SIX], 2, 3, None),
        ([FIVE, SIX, FIVE], 2, 3, True),
        ([FIVE, SIX], 2, 2, False),
        ([YES, Ballot(True, {})], 2, 2, True),
        ([Ballot(True, {"a": 1, "b": 2}), Ballot(True, {"b": 2, "a": 1})], 2, 2, True),
        ([Ballot(True, {"a": 1}), Ballot(True, {"a": True})], 2, 2, False),
    ],
    ids=range(18),
)
def test_votes_decide_as_soon_as_they_can(
    ballots: list[Ballot], quorum: int, asked: int, decided: bool | None
) -> None:
    assert outcome(ballots, quorum=quorum, asked=asked) is decided


@given(st.lists(st.sampled_from([YES, NO, FIVE, SIX]), max_size=12), st.integers(1, 6), st.integers(0, 8))
def test_what_is_decided_early_is_what_would_be_decided_late(
    ballots: list[Ballot], quorum: int, asked: int
) -> None:
    seats = max(asked, quorum)
    ballots = ballots[:seats]
    steps = [outcome(ballots[:count], quorum=quorum, asked=asked) for count in range(1, len(ballots) + 1)]
    early = next((step for step in steps if step is not None), None)
    if early is not None:
        assert all(step is early for step in steps[steps.index(early) :])
    if len(ballots) == seats:
        assert early is not None
    if early is False:
        rest = seats - len(ballots)
        # Whatever those who have not voted yet would say, nothing would reach the quorum.
        for answer in (YES, FIVE, SIX):
            assert outcome([*ballots, *[answer] * rest], quorum=quorum, asked=asked) is False


ALICE, BOB, CAROL, DAVE = 1, 2, 3, 4


@pytest.mark.parametrize(
    ("user", "asked", "handed_by", "taken", "seat"),
    [
        (ALICE, {ALICE}, {}, set(), ALICE),
        (ALICE, {ALICE}, {}, {ALICE}, None),
        (BOB, {ALICE}, {BOB: {ALICE}}, set(), ALICE),
        (BOB, {ALICE}, {BOB: {ALICE}}, {ALICE}, None),
        (BOB, {ALICE, BOB}, {BOB: {ALICE}}, set(), BOB),
        (BOB, {ALICE, BOB}, {BOB: {ALICE}}, {BOB}, None),
        (BOB, {ALICE, CAROL}, {BOB: {ALICE, CAROL}}, {ALICE}, CAROL),
        (CAROL, {ALICE}, {BOB: {ALICE}, CAROL: {BOB}}, set(), ALICE),
        (CAROL, {ALICE}, {BOB: {ALICE}, CAROL: {BOB}}, {ALICE}, None),
        (CAROL, {ALICE}, {BOB: {ALICE, CAROL}, CAROL: {BOB}}, set(), ALICE),
        # Whoever handed it on and is asked no more still gave what was theirs.
        (BOB, set(), {BOB: {DAVE}}, set(), DAVE),
        (BOB, set(), {BOB: {CAROL}, CAROL: {BOB}}, set(), None),
    ],
    ids=range(12),
)
def test_a_vote_takes_one_s_own_seat_or_one_that_was_handed_on(
    user: int, asked: set[int], handed_by: dict[int, set[int]], taken: set[int], seat: int | None
) -> None:
    assert free_seat(user, asked=asked, handed_by=handed_by, taken=taken) == seat

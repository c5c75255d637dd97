"""``/ws/approvals``: each user is told of what they may see, as their rights are when it is read."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals_app import feed
from approvals_app.consumers import ApprovalNews
from approvals_app.dispatch import tell_after_commit
from approvals_app.models import Approval, ApprovalEvent
from approvals_app.services.approvals import respond_to_approval
from approvals_app.services.delegation import comment_on_approval, delegate_approval
from tests.factories import make_user, make_workspace
from tests.people import People, asking, question_of, run_asking
from tests.sockets import HOST, SocketClient, in_database, refusal_of, sign_in
from workflow_service.accounts.models import ApiKey, Membership, Role, User
from workflow_service.accounts.tickets import issue_ticket
from workflow_service.live import Refused
from workflow_service.live_feed import SharedFeed

Sockets = Callable[..., SocketClient]


@pytest.fixture(autouse=True)
def signed_in(people: People) -> None:
    sign_in(people.alice, people.bob, people.developer, people.admin, people.stranger)


def ask(people: People, **step: Any) -> Approval:
    return question_of(run_asking(people, asking(**step)))


def respond(approval: Approval, actor: User, *, approved: bool = True) -> None:
    respond_to_approval(
        approval_id=approval.public_id, actor=actor, approved=approved, comments="fine", source="test"
    )


def comment(approval: Approval, actor: User) -> None:
    comment_on_approval(approval_id=approval.public_id, actor=actor, text="why?", source="test")


def lose_roles(user: User) -> None:
    Membership.objects.filter(user=user).delete()


async def opened(sockets: Sockets, user: User, after: int = 0) -> SocketClient:
    socket = sockets(f"/ws/approvals?after={after}", user)
    assert await socket.connect() is not None
    return socket


async def types_of(socket: SocketClient, count: int) -> list[str]:
    return [message["type"] for message in await socket.messages(count)]


async def test_a_question_and_its_answer_are_told_to_who_is_asked(people: People, sockets: Sockets) -> None:
    approval = await in_database(ask, people)
    alice = await opened(sockets, people.alice)
    (asked,) = await alice.messages(1)
    assert (asked["type"], asked["approvalId"]) == ("approval_requested", approval.public_id)
    assert (asked["executionId"], asked["blockId"]) == (approval.execution.public_id, "load")
    assert asked["workspaceId"] == people.workspace.public_id
    assert asked["canRespond"] is True
    await in_database(respond, approval, people.alice)
    (answered,) = await alice.messages(1)
    assert (answered["type"], answered["data"]["status"]) == ("approval_responded", "APPROVED")
    assert (answered["data"]["respondedBy"], answered["canRespond"]) == ("alice", False)


async def test_what_is_not_for_a_user_leaves_no_trace_live_or_replayed(
    people: People, sockets: Sockets
) -> None:
    bob = await opened(sockets, people.bob)
    developer, stranger = (
        await opened(sockets, people.developer),
        await opened(sockets, people.stranger),
    )
    for_alice = await in_database(ask, people, assignees=["alice"])
    await in_database(comment, for_alice, people.alice)
    for_all = await in_database(ask, people)
    again = await opened(sockets, people.bob)
    for socket in (bob, again):
        (asked,) = await socket.messages(1)
        assert asked["approvalId"] == for_all.public_id
    # Who reads everything does: an admin, who may stand in for anybody.
    admin = await opened(sockets, people.admin)
    assert [message["approvalId"] for message in await admin.messages(3)] == [
        *[for_alice.public_id] * 2,
        for_all.public_id,
    ]
    for socket in (bob, again, developer, stranger):
        assert await socket.hears_nothing(seconds=0.1)


async def test_a_question_handed_on_is_seen_from_then_on_and_whole_by_who_comes_back(
    people: People, sockets: Sockets
) -> None:
    bob = await opened(sockets, people.bob)
    approval = await in_database(ask, people, assignees=["alice"])
    await in_database(
        delegate_approval, approval_id=approval.public_id, actor=people.alice, to="bob", source="test"
    )
    (handed,) = await bob.messages(1)
    assert (handed["type"], handed["canRespond"]) == ("approval_delegated", True)
    again = await opened(sockets, people.bob)
    assert await types_of(again, 2) == ["approval_requested", "approval_delegated"]
    assert await bob.hears_nothing(seconds=0.1)


async def test_a_right_gained_between_two_events_counts_from_the_next_one(
    people: People, sockets: Sockets
) -> None:
    bob = await opened(sockets, people.bob)
    approval = await in_database(ask, people, assignees=["group:finance"])
    await in_database(comment, approval, people.admin)
    assert await bob.hears_nothing(seconds=0.1)

    def join() -> None:
        people.bob.groups.add(Group.objects.create(name="finance"))

    await in_database(join)
    await in_database(comment, approval, people.admin)
    (said,) = await bob.messages(1)
    assert (said["type"], said["canRespond"]) == ("approval_commented", True)
    assert said["id"] == await in_database(lambda: ApprovalEvent.objects.latest("id").pk)


async def test_a_right_lost_between_two_events_counts_for_the_next_one(
    people: People, sockets: Sockets
) -> None:
    finance = await in_database(Group.objects.create, name="finance")
    await in_database(people.bob.groups.add, finance)
    bob, alice = await opened(sockets, people.bob), await opened(sockets, people.alice)
    approval = await in_database(ask, people, assignees=["group:finance", "alice"])
    assert await types_of(bob, 1) == ["approval_requested"]
    await in_database(people.bob.groups.remove, finance)
    await in_database(comment, approval, people.alice)
    assert await types_of(alice, 2) == ["approval_requested", "approval_commented"]
    other = await in_database(ask, people, assignees=["bob"])
    (asked,) = await bob.messages(1)
    assert asked["approvalId"] == other.public_id


@pytest.mark.parametrize("loses", ["roles", "account"])
async def test_who_loses_every_right_is_told_nothing_more_and_closed(
    people: People, sockets: Sockets, loses: str
) -> None:
    alice = await opened(sockets, people.alice)
    approval = await in_database(ask, people)
    assert await types_of(alice, 1) == ["approval_requested"]
    if loses == "roles":
        await in_database(lose_roles, people.alice)
    else:
        await in_database(User.objects.filter(pk=people.alice.pk).update, is_active=False)
    await in_database(comment, approval, people.bob)
    assert await alice.close_code() == 4403


async def test_a_lost_right_closes_the_socket_though_nothing_happens(
    people: People, sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SharedFeed, "poll_s", 0.05)
    alice = await opened(sockets, people.alice)
    await in_database(ask, people)
    assert await types_of(alice, 1) == ["approval_requested"]
    await in_database(lose_roles, people.alice)
    assert await alice.close_code() == 4403


async def test_a_revoked_key_ends_what_it_opened(
    people: People, sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SharedFeed, "poll_s", 0.05)
    key = await in_database(
        ApiKey.objects.create,
        user=people.alice,
        workspace=people.workspace,
        name="inbox",
        prefix="wf_test",
        digest="0" * 64,
        scopes=["approval:read"],
        expires_at=timezone.now() + timedelta(days=1),
    )
    people.alice.acting_key = key
    ticket = await in_database(issue_ticket, people.alice)
    socket = sockets("/ws/approvals", headers=[HOST], subprotocols=[f"ticket.{ticket}"])
    await socket.connect()
    await in_database(ask, people)
    (asked,) = await socket.messages(1)
    # The key may read and not answer.
    assert asked["canRespond"] is False
    await in_database(ApiKey.objects.filter(pk=key.pk).update, revoked_at=timezone.now())
    assert await socket.close_code() == 4401


async def test_what_was_missed_comes_after_the_last_number_and_nothing_twice(
    people: People, sockets: Sockets
) -> None:
    approval = await in_database(ask, people)
    alice = await opened(sockets, people.alice)
    (first,) = await alice.messages(1)
    await alice.disconnect()
    for _ in range(3):
        await in_database(comment, approval, people.bob)
    again = await opened(sockets, people.alice, after=first["id"])
    missed = await again.messages(3)
    await in_database(comment, approval, people.bob)
    missed += await again.messages(1)
    numbers = await in_database(
        lambda: list(ApprovalEvent.objects.order_by("id").values_list("id", flat=True))
    )
    assert [message["id"] for message in missed] == numbers[1:]
    assert await again.hears_nothing(seconds=0.1)


async def test_events_of_two_workspaces_appear_in_the_order_of_their_numbers(
    people: People, sockets: Sockets
) -> None:
    def elsewhere() -> Approval:
        workspace = make_workspace()
        Membership.objects.create(workspace=workspace, user=people.alice, role=Role.APPROVER)
        others = People(workspace, people.alice, people.bob, people.developer, people.admin, people.stranger)
        return ask(others)

    here, there = await in_database(ask, people), await in_database(elsewhere)
    alice = await opened(sockets, people.alice)
    assert await types_of(alice, 2) == ["approval_requested"] * 2
    written, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def append(approval: Approval, *, slowly: bool) -> None:
        try:
            with transaction.atomic():
                events = feed.append_events(feed.REMINDED, [approval], now=timezone.now())
                tell_after_commit(events)
                if slowly:
                    loop.call_soon_threadsafe(written.set)
                    asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(5)
        finally:
            connection.close()

    slow = asyncio.create_task(asyncio.to_thread(append, here, slowly=True))
    await asyncio.wait_for(written.wait(), timeout=30)
    quick = asyncio.create_task(asyncio.to_thread(append, there, slowly=False))
    # The second must not get a number before the first is committed: a socket that had seen it would miss the first.
    assert await alice.hears_nothing(seconds=0.2)
    go_on.set()
    await asyncio.gather(slow, quick)
    told = await alice.messages(2)
    assert [message["approvalId"] for message in told] == [here.public_id, there.public_id]


def test_as_many_queries_for_many_as_for_one(people: People) -> None:
    approval = ask(people, quorum=2, assignees=["role:workflow_approver"])
    comment(approval, people.alice)
    many = [make_user(people.workspace, Role.APPROVER) for _ in range(20)]
    news = ApprovalNews()
    counts = []
    for users in ([people.alice], [people.alice, people.bob, people.developer, *many]):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            reading = news.read(0, 200, users)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 5
    told = [None if isinstance(texts, Refused) else len(texts) for texts in reading.texts]
    assert told == [2, 2, 0, *[2] * 20]


async def test_a_user_of_no_workspace_is_refused(people: People, sockets: Sockets) -> None:
    outsider = await in_database(make_user)
    await in_database(sign_in, outsider)
    assert await refusal_of(sockets("/ws/approvals", outsider)) == 4403
    assert await refusal_of(sockets("/ws/approvals")) == 4401
    assert await refusal_of(sockets("/ws/approvals?after=x", people.alice)) == 4400

"""Who may answer an approval, and who may see it.

An assignee is ``user:NAME``, ``role:ROLE``, ``group:NAME``, or a bare name that means any of the three. Nobody listed
means everybody who may answer approvals in the workspace. A question may also be handed to somebody (``delegate_ids``),
and whoever is out of office is stood in for by the one they named; neither where ``allow_delegation`` is false. Who
manages the members of a workspace could make themselves an assignee, so they may answer in place of one. Four eyes
binds everybody: the starter of a run never decides in it, nor hands that right on.

Each rule is written twice, for one approval in memory and as a condition on many; a test holds them to each other.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from operator import or_

from django.db import connection
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from approvals_app.models import Approval, ApprovalVote, OutOfOffice
from workflow_service.accounts.models import ApiKey, Role, User, Workspace
from workflow_service.accounts.policies import Action, key_covers, permits
from workflow_service.engine.states import ApprovalStatus

NONE = Q(pk__in=())
EVERY_APPROVER = tuple(
    sorted(f"role:{role.value}" for role in Role if permits((role,), Action.APPROVAL_RESPOND))
)


@dataclass(frozen=True, slots=True)
class Person:
    """A member as one workspace's approvals see them. ``names`` are the assignees that mean them.

    Of one who is away, ``through`` are those without whom it would not come to who stands in for them.
    """

    user_id: int
    names: frozenset[str]
    is_approver: bool
    is_manager: bool = False
    rights: frozenset[Action] = frozenset()
    through: frozenset[int] = frozenset()

    def is_asked(self, approval: Approval) -> bool:
        """Say whether an approval asks this person by name, or everybody."""
        named = not approval.assignees or not self.names.isdisjoint(approval.assignees)
        return self.is_approver and named

    def is_for(self, approval: Approval) -> bool:
        """Say whether an approval asks this person, or was handed to them."""
        return self.is_asked(approval) or (self.is_approver and self.user_id in approval.delegate_ids)

    def is_bound(self, approval: Approval) -> bool:
        """Say whether four eyes keep this person from deciding, or from being stood in for."""
        return approval.four_eyes and approval.execution.created_by_id in {self.user_id, *self.through}

    def condition(self) -> Q:
        """Return ``is_for`` as a condition on approvals of this workspace."""
        if not self.is_approver:
            return NONE
        named = Q(assignees=[]) | Q(assignees__overlap=sorted(self.names))
        return named | Q(delegate_ids__contains=[self.user_id])

    def unbound(self) -> Q:
        """Return the opposite of ``is_bound`` as a condition."""
        return ~Q(four_eyes=True, execution__created_by__in=sorted({self.user_id, *self.through}))


@dataclass(frozen=True, slots=True)
class Responder:
    """A user as one workspace's approvals see them; ``absent`` are those who are away and stood in for by this user."""

    person: Person
    absent: tuple[Person, ...] = ()
    may_read: bool = False
    may_read_all: bool = False
    may_respond: bool = False
    may_stand_in: bool = False

    def is_for(self, approval: Approval) -> bool:
        """Say whether an approval is one for this user, or for somebody whom they stand in for."""
        return self.person.is_for(approval) or (
            approval.allow_delegation
            and self.person.is_approver
            and any(away.is_for(approval) and not away.is_bound(approval) for away in self.absent)
        )

    def objection(self, approval: Approval) -> str | None:
        """Return why this user may not answer ``approval`` (with its execution loaded), None if they may."""
        if not self.may_respond:
            return "your role here does not answer approvals"
        if self.person.is_bound(approval):
            return "you started this run, so somebody else has to decide"
        if not self.may_stand_in and not self.is_for(approval):
            assigned = f"it is assigned to {', '.join(approval.assignees)}"
            if not approval.allow_delegation and any(away.is_for(approval) for away in self.absent):
                return f"{assigned}, and the workflow lets nobody stand in for them"
            return assigned
        return None

    def has_voted(self, approval: Approval) -> bool:
        """Say whether this user has answered already, or somebody for them; reads the votes if there can be any."""
        mine = self.person.user_id
        return approval.quorum > 1 and any(
            mine in (vote.user_id, vote.on_behalf_of_id) for vote in approval.votes.all()
        )

    def awaits(self, approval: Approval) -> bool:
        """Say whether a pending approval waits for this user's answer."""
        pending = approval.status == ApprovalStatus.PENDING
        return pending and self.objection(approval) is None and not self.has_voted(approval)

    def sees(self, approval: Approval) -> bool:
        """Say whether this user may look at ``approval`` (with its execution loaded)."""
        mine = self.person.user_id
        return self.may_read and (
            self.may_read_all
            or self.may_stand_in
            or self.is_for(approval)
            or approval.execution.created_by_id == mine
            or mine in approval.involved_ids
        )

    def awaited(self) -> Q:
        """Return ``awaits``, but for the status, as a condition on approvals of this workspace."""
        if not self.may_respond:
            return NONE
        votes = ApprovalVote.objects.filter(approval=OuterRef("pk"))
        mine = self.person.user_id
        voted = Q(Exists(votes.filter(Q(user=mine) | Q(on_behalf_of=mine))), quorum__gt=1)
        asked = ~NONE if self.may_stand_in else self._for_me()
        return asked & self.person.unbound() & ~voted

    def seen(self) -> Q:
        """Return ``sees`` as a condition on approvals of this workspace."""
        if not self.may_read:
            return NONE
        if self.may_read_all or self.may_stand_in:
            return ~NONE
        mine = self.person.user_id
        return self._for_me() | Q(execution__created_by=mine) | Q(involved_ids__contains=[mine])

    def _for_me(self) -> Q:
        if not self.person.is_approver:
            return NONE
        stood_in_for = reduce(or_, (away.condition() & away.unbound() for away in self.absent), NONE)
        return self.person.condition() | (Q(allow_delegation=True) & stood_in_for)


NOBODY = Responder(Person(0, frozenset(), False))


def responder_of(user: User, workspace: Workspace) -> Responder:
    """Return ``user`` as the approvals of ``workspace`` see them."""
    return responders_of(user, [workspace]).get(workspace.pk, NOBODY)


def responders_of(user: User, workspaces: Iterable[Workspace] | None = None) -> Mapping[int, Responder]:
    """Return the user in each of their workspaces, by its key; in those of ``workspaces`` alone if given.

    The number of queries does not depend on how many approvals, people or workspaces there are.
    """
    (found,) = responders_among([user])
    if workspaces is None:
        return found
    wanted = {workspace.pk for workspace in workspaces}
    return {pk: responder for pk, responder in found.items() if pk in wanted}


def responders_among(users: Sequence[User]) -> list[Mapping[int, Responder]]:
    """Return for each of many users what ``responders_of`` returns for one, in as many queries."""
    # Of two tabs of one user each may have come with a key of its own.
    indexes: dict[int, list[int]] = defaultdict(list)
    for index, user in enumerate(users):
        if user.is_active:
            indexes[user.pk].append(index)
    people = people_of(None, indexes.keys())
    absent = _absent_for({workspace_id: here.keys() for workspace_id, here in people.items()})
    found: list[Mapping[int, Responder]] = [{} for _ in users]
    for workspace_id, here in people.items():
        for person in here.values():
            away = absent.get((workspace_id, person.user_id), ())
            held = [action in person.rights for action in _RIGHTS]
            for index in indexes[person.user_id]:
                key = users[index].acting_key
                if key is None or key.workspace_id == workspace_id:
                    may = held if key is None else _covered(key, workspace_id, held)
                    found[index] = {**found[index], workspace_id: Responder(person, away, *may)}
    return found


# In the order of ``Responder``'s fields.
_RIGHTS = (
    Action.APPROVAL_READ,
    Action.APPROVAL_READ_ALL,
    Action.APPROVAL_RESPOND,
    Action.MEMBER_MANAGE,
)


def _covered(key: ApiKey, workspace_id: int, held: Iterable[bool]) -> list[bool]:
    return [has and key_covers(key, workspace_id, action) for has, action in zip(held, _RIGHTS, strict=True)]


# One row for each member of a workspace: the ORM would make three objects of each.
_PEOPLE = """
    SELECT membership.workspace_id, member.id, ARRAY[member.username, member.public_id],
        array_agg(DISTINCT membership.role ORDER BY membership.role),
        ARRAY(
            SELECT held.name FROM accounts_user_groups joined JOIN auth_group held ON held.id = joined.group_id
            WHERE joined.user_id = member.id ORDER BY held.name
        )
    FROM accounts_membership membership JOIN accounts_user member ON member.id = membership.user_id
    WHERE member.is_active{where}
    GROUP BY membership.workspace_id, member.id
"""


def people_of(
    workspace_ids: Collection[int] | None, user_ids: Collection[int] | None = None
) -> Mapping[int, Mapping[int, Person]]:
    """Return the active members of workspaces, of all for None, by workspace and user.

    Those of ``user_ids`` alone if given.
    """
    bounds = {
        "membership.workspace_id": workspace_ids,
        "membership.user_id": user_ids,
    }
    given = {column: list(ids) for column, ids in bounds.items() if ids is not None}
    where = "".join(f" AND {column} = ANY(%s)" for column in given)
    found: dict[int, dict[int, Person]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(_PEOPLE.format(where=where), list(given.values()))
        for workspace_id, user_id, names, roles, groups in cursor.fetchall():
            found[workspace_id][user_id] = _person(user_id, tuple(names), tuple(roles), tuple(groups))
    return found


def receivers_of(approvals: Sequence[Approval]) -> Mapping[int, frozenset[int]]:
    """Return the ids of the users who are asked by each approval (with its execution loaded), by its key.

    These are the ones it names, those it was handed to, and who stands in for any of them who is away; not who
    merely manages members. Three queries, however many there are.
    """
    workspace_ids = {approval.workspace_id for approval in approvals}
    people = people_of(workspace_ids)
    deputies = _deputies(workspace_ids)
    found = {}
    for approval in approvals:
        here = people.get(approval.workspace_id, {})
        asked = {
            pk for pk, person in here.items() if person.is_for(approval) and not person.is_bound(approval)
        }
        away = deputies.get(approval.workspace_id, {}) if approval.allow_delegation else {}
        # Nobody gets it through one who may not decide.
        reached = _reach(asked, {pk: ways for pk, ways in away.items() if not _is_bound(pk, here, approval)})
        found[approval.pk] = frozenset(
            pk for pk in reached if pk in here and here[pk].is_approver and not here[pk].is_bound(approval)
        )
    return found


def _absent_for(user_ids: Mapping[int, Collection[int]]) -> Mapping[tuple[int, int], tuple[Person, ...]]:
    """Return, by workspace and user, who is away and named the user, or named somebody who is away and did."""
    away: dict[tuple[int, int], dict[int, frozenset[int]]] = {}
    for workspace_id, deputies in _deputies(user_ids.keys()).items():
        principals: dict[int, set[int]] = defaultdict(set)
        for absent, named in deputies.items():
            for deputy in named:
                principals[deputy].add(absent)
        for user_id in principals.keys() & set(user_ids[workspace_id]):
            away[workspace_id, user_id] = _through(user_id, principals)
    if not away:
        return {}
    people = people_of({workspace_id for workspace_id, _ in away}, set().union(*away.values()))
    found = {}
    for (workspace_id, user_id), ids in away.items():
        here = people.get(workspace_id, {})
        found[workspace_id, user_id] = tuple(
            replace(here[pk], through=ids[pk]) for pk in sorted(ids) if pk in here
        )
    return found


def _through(user_id: int, principals: Mapping[int, set[int]]) -> dict[int, frozenset[int]]:
    """Return who is reached from a user, each with those without whom they would not be."""
    reached = _reach({user_id}, principals) - {user_id}
    without = {
        pk: _reach({user_id}, {one: ways for one, ways in principals.items() if one != pk}) for pk in reached
    }
    return {pk: frozenset(one for one in reached if one != pk and pk not in without[one]) for pk in reached}


def _is_bound(user_id: int, here: Mapping[int, Person], approval: Approval) -> bool:
    return user_id in here and here[user_id].is_bound(approval)


def _deputies(workspace_ids: Collection[int]) -> Mapping[int, Mapping[int, set[int]]]:
    """Return, by workspace, whom those who are away now have named."""
    rows = OutOfOffice.objects.filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=Now()), workspace__in=workspace_ids, starts_at__lte=Now()
    )
    found: dict[int, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for workspace_id, user_id, delegate_id in rows.values_list("workspace_id", "user_id", "delegate_id"):
        found[workspace_id][user_id].add(delegate_id)
    return found


def _reach(start: Iterable[int], ways: Mapping[int, set[int]]) -> set[int]:
    """Return ``start`` and all that can be reached from there."""
    reached: set[int] = set()
    ahead = list(start)
    while ahead:
        one = ahead.pop()
        if one not in reached:
            reached.add(one)
            ahead.extend(ways.get(one, ()))
    return reached


# Asked for each event of the live feed and for all who follow it: a Person changes as rarely as these do.
@lru_cache(maxsize=10_000)
def _person(user_id: int, users: tuple[str, ...], roles: tuple[str, ...], groups: tuple[str, ...]) -> Person:
    held = [Role(role) for role in roles]
    named = (("user", users), ("role", roles), ("group", groups))
    return Person(
        user_id=user_id,
        names=frozenset(text for kind, names in named for name in names for text in (name, f"{kind}:{name}")),
        is_approver=permits(held, Action.APPROVAL_RESPOND),
        is_manager=permits(held, Action.MEMBER_MANAGE),
        rights=frozenset(action for action in _RIGHTS if permits(held, action)),
    )

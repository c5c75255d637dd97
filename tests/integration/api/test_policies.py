"""Who may do what: every role against every action, and every door against the roles."""

from itertools import product
from typing import Any

import pytest

from tests.caller import Caller, problem_of
from tests.factories import make_user, noop
from tests.house import House, make_house
from workflow_service.accounts.models import Role
from workflow_service.accounts.policies import (
    OWN_ACTIONS,
    ROLE_ACTIONS,
    SHARE_ACTIONS,
    Action,
    ShareRight,
    allows,
)

A, R = Action, Role
ALLOWED = {
    A.TEMPLATE_READ: set(R),
    A.TEMPLATE_CREATE: {R.ADMIN, R.DEVELOPER},
    A.TEMPLATE_UPDATE: {R.ADMIN},
    A.TEMPLATE_ARCHIVE: {R.ADMIN},
    A.TEMPLATE_SHARE: {R.ADMIN},
    A.TEMPLATE_TRANSFER: {R.ADMIN},
    A.EXECUTION_READ: set(R),
    A.EXECUTION_START: {R.ADMIN, R.DEVELOPER, R.OPERATOR},
    A.EXECUTION_CONTROL: {R.ADMIN, R.OPERATOR},
    A.EXECUTION_OVERRIDE: {R.ADMIN, R.OPERATOR},
    A.EXECUTION_SIGNAL: {R.ADMIN, R.OPERATOR},
    A.ARTIFACT_READ: set(R),
    A.ARTIFACT_UPLOAD: {R.ADMIN, R.DEVELOPER, R.OPERATOR},
    A.ARTIFACT_DELETE: {R.ADMIN},
    A.APPROVAL_READ: set(R),
    A.APPROVAL_READ_ALL: {R.ADMIN, R.OPERATOR},
    A.APPROVAL_RESPOND: {R.ADMIN, R.APPROVER},
    A.AGENT_READ: set(R),
    A.AGENT_REGISTER: {R.ADMIN, R.DEVELOPER, R.OPERATOR},
    A.AGENT_MANAGE: {R.ADMIN, R.OPERATOR},
    A.AGENT_HEARTBEAT: {R.ADMIN, R.DEVELOPER, R.OPERATOR},
    A.OPERATIONS_VIEW: {R.ADMIN, R.OPERATOR},
    A.USAGE_READ: {R.ADMIN, R.DEVELOPER, R.OPERATOR},
    A.BUDGET_MANAGE: {R.ADMIN},
    A.SECRET_READ: {R.ADMIN, R.DEVELOPER, R.OPERATOR},
    A.SECRET_CREATE: {R.ADMIN, R.DEVELOPER},
    A.SECRET_MANAGE: {R.ADMIN},
    A.MEMBER_MANAGE: {R.ADMIN},
    A.AUDIT_READ: {R.ADMIN},
    A.KEY_CREATE: {R.ADMIN, R.DEVELOPER, R.OPERATOR},
    A.KEY_MANAGE: {R.ADMIN},
    A.NOTIFICATION_READ: set(R),
    A.WEBHOOK_READ: {R.ADMIN, R.OPERATOR},
    A.WEBHOOK_MANAGE: {R.ADMIN, R.OPERATOR},
}
TEMPLATE = {"name": "T", "blocks": [noop("a")]}


@pytest.fixture
def house(transactional_db: None) -> House:
    """A start commits by itself."""
    return make_house()


def test_the_tables_name_every_role() -> None:
    assert set(ROLE_ACTIONS) == set(OWN_ACTIONS) == set(Role)


@pytest.mark.parametrize("action", Action)
def test_each_role_may_do_what_the_table_says_and_nothing_else(house: House, action: Action) -> None:
    allowed = {role for role, user in house.members.items() if allows(user, house.workspace, action)}
    assert allowed == ALLOWED[action]


def test_developers_change_what_is_theirs(house: House) -> None:
    developer = house.developer
    for action in OWN_ACTIONS[R.DEVELOPER]:
        assert allows(developer, house.workspace, action, owner_id=developer.pk)
        assert not allows(developer, house.workspace, action, owner_id=house.members[R.ADMIN].pk)
    viewer = house.members[R.VIEWER]
    assert not allows(viewer, house.workspace, A.TEMPLATE_UPDATE, owner_id=viewer.pk)
    assert allows(viewer, house.workspace, A.EXECUTION_CONTROL, owner_id=viewer.pk), (
        "a run they were let start"
    )


def test_a_share_lets_a_member_do_what_its_table_says_and_a_stranger_nothing(
    house: House, other_house: House
) -> None:
    viewer, stranger = house.members[R.VIEWER], other_house.members[R.ADMIN]
    for right, action in product(ShareRight, A):
        let = allows(viewer, house.workspace, action, shared=[right])
        assert let == (action in SHARE_ACTIONS[right] | ROLE_ACTIONS[R.VIEWER]), (right, action)
        assert not allows(stranger, house.workspace, action, shared=[right])


def test_nothing_is_allowed_in_a_foreign_workspace_not_even_to_a_superuser(
    house: House, other_house: House
) -> None:
    root = make_user(is_superuser=True, is_staff=True)
    for action in Action:
        assert not allows(house.members[R.ADMIN], other_house.workspace, action)
        assert not allows(root, house.workspace, action)


def call(caller: Caller, door: str, template_id: str) -> Any:
    match door:
        case "create template":
            return caller.post("templates", TEMPLATE)
        case "validate body":
            return caller.post("templates/validate", TEMPLATE)
        case "replace template":
            return caller.put(f"templates/{template_id}", TEMPLATE)
        case "publish template":
            return caller.post(f"templates/{template_id}/publish")
        case "archive template":
            return caller.delete(f"templates/{template_id}")
        case "start execution":
            return caller.post("executions", {"templateId": template_id})
        case "make key":
            return caller.post("api-keys", {"name": "k"})
    return caller.get(door.format(template_id=template_id))


DOORS = {
    "create template": {R.ADMIN, R.DEVELOPER},
    "validate body": {R.ADMIN, R.DEVELOPER},
    "replace template": {R.ADMIN},
    "publish template": {R.ADMIN},
    "archive template": {R.ADMIN},
    "start execution": {R.ADMIN, R.DEVELOPER, R.OPERATOR},
    "make key": {R.ADMIN, R.DEVELOPER, R.OPERATOR},
    "templates": set(R),
    "templates/{template_id}": set(R),
    "templates/{template_id}/dsl": set(R),
    "templates/{template_id}/versions": set(R),
    "executions": set(R),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_role_without_permission_is_403_at_every_door(house: House, door: str) -> None:
    made = house.caller(R.ADMIN).post("templates", TEMPLATE)
    template_id = made.json()["templateId"]
    open_to = set()
    # The admin comes last: it may archive what the others ask for.
    for role in (R.VIEWER, R.APPROVER, R.OPERATOR, R.DEVELOPER, R.ADMIN):
        answer = call(house.caller(role), door, template_id)
        if answer.status_code != 403:
            assert answer.status_code < 300, answer.content
            open_to.add(role)
        else:
            problem_of(answer, 403, "FORBIDDEN")
    assert open_to == DOORS[door]
